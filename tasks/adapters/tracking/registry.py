"""The retrained classifier in MLflow's registry: entered, made champion if it may, and loaded."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tasks.adapters.tracking.model_names import (
    CHAMPION,
    champion_of,
    registered_name,
    versions_of,
)
from tasks.adapters.tracking.results import DIGEST, Results
from tasks.adapters.tracking.saved_model import log_model, save_model
from tasks.adapters.tracking.store import Store, asked
from tasks.answer import words
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images
from tasks.contracts.params.report import RECALL

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import Model

WEIGHTS, CONFIG = "model.safetensors", "config.json"
_ASKED = "ganlift.champion"  # tag: whether the version became it when it was registered, or why not
_MOST_LISTED = 8
_REQUIREMENTS = (
    *("mlflow", "numpy", "pandas", "pydantic", "pyyaml", "rich", "safetensors"),
    *("scikit-learn", "timm", "torch", "torchvision"),
)
_NOTE = """\
The classifier that ganlift retrained on real images and filtered GAN images, with the recipe that
was settled on real/val. Each result is one version, whose tags hold the verdict, the lift with its
interval, and the score of this very classifier on the test split. The alias `champion` moves to a
new version only if its verdict is "helps" and it is not worse than the champion on the same test
split.
`ganlift predict FOLDER` uses the champion.
"""


@dataclass(frozen=True)
class Classifier:
    """A registered classifier.

    Attributes:
        name: of the model and its version, for people.
        verdict: of the result it comes from.
        image_size: pixels of the square images that it takes.
        channels: 1 or 3.
        fit: how an image that is not square becomes one, as `ingest.fit`.
        class_names: K names in the order of the probabilities.
        predict: images uint8 ``[N, H, W, C]`` to probabilities ``[N, K]``.
    """

    name: str
    verdict: str
    image_size: int
    channels: int
    fit: str
    class_names: Sequence[str]
    predict: Callable[[Images], npt.NDArray[np.float32]]


def register(store: Store, of: Results, *, dataset: str, run_id: str, fit: str) -> str | None:
    """Register the classifier of a pipeline's run, once, and let it become champion if it may.

    Args:
        store: holds the run.
        of: the result; a version is known by its `digest`.
        dataset: the source as in ``params.yaml``; names the model.
        run_id: of the pipeline's run.
        fit: `ingest.fit` of the images that the classifier learned from.

    Returns:
        A line that says what became of it, None where that was settled before.

    Raises:
        UserError: the files are not of one run of retrain.
    """
    client, name = store.client(), registered_name(dataset)
    same = [one for one in versions_of(client, dataset) if one.tags.get(DIGEST) == of.digest]
    if same:
        version = same[0]
        name = version.name
        if _ASKED in version.tags:
            return None
    else:
        version = _create(client, name, _log(store, store.experiment(dataset), run_id, of, fit), of)
    champion = champion_of(client, dataset)
    reason = why_not(version.tags, None if champion is None else champion.tags)
    if reason is None:
        client.set_registered_model_alias(name, CHAMPION, version.version)
    client.set_model_version_tag(name, version.version, _ASKED, reason or "yes")
    line = f"model    {name} version {version.version}"
    if reason is None:
        return f"{line} is the champion now"
    stays = f"version {champion.version} stays champion" if champion else "there is no champion yet"
    return f"{line} did not become champion, because {reason}; {stays}"


def why_not(new: Mapping[str, str], champion: Mapping[str, str] | None) -> str | None:
    """Return why a version may not become champion, None where it may.

    Args:
        new: its tags.
        champion: the present champion's, None where there is none.
    """
    if new["ganlift.verdict"] != "helps":
        return f"the verdict is {new['ganlift.verdict']!r}"
    if new["ganlift.arm"] != new["ganlift.treatment"]:
        return (
            f"the verdict is about {new['ganlift.treatment']!r}, "
            f"the classifier was trained as {new['ganlift.arm']!r}"
        )
    if champion is None:
        return None
    if new["ganlift.test_digest"] != champion.get("ganlift.test_digest"):
        return "the champion was judged on another test split"
    metric = new["ganlift.primary_metric"]
    if metric != champion.get("ganlift.primary_metric"):
        return f"the champion was judged by {champion.get('ganlift.primary_metric')!r}"
    mine, theirs = float(new["ganlift.value"]), float(champion["ganlift.value"])
    if not math.isfinite(mine):
        return f"its {metric} is not a finite number"
    if mine > theirs if metric == "log_loss" else mine < theirs:
        said, best = words.decimal(mine, 4), words.decimal(theirs, 4)
        return f"its {metric} of {said} is worse than the champion's {best}"
    return None


def load_classifier(dataset: str, version: int | None) -> Classifier:
    """Load the champion of a data set, or the version that is named.

    Args:
        dataset: the source as in ``params.yaml``; names the model.
        version: its number in the registry.

    Raises:
        UserError: no champion, no such version, or the registry cannot be reached.
    """
    import mlflow

    with asked("try again", registry=True) as store:
        found = _found(store.client(), dataset, version)
        # By its address: by its name, MLflow would look in the store of the process, not in this.
        folder = mlflow.artifacts.download_artifacts(found.source, tracking_uri=store.uri)
        model = mlflow.pyfunc.load_model(folder)
    config: dict[str, Any] = model.unwrap_python_model().config
    return Classifier(
        name=f"{found.name} version {found.version}",
        verdict=found.tags.get("ganlift.verdict", "unknown"),
        image_size=config["image_size"],
        channels=config["channels"],
        fit=config["fit"],
        class_names=config["class_names"],
        predict=model.predict,
    )


def save_classifier(folder: Path, classifier: Path, fit: str, model: Model | None = None) -> None:
    """Write the MLflow model of a classifier into ``folder``: images in, probabilities out.

    Args:
        folder: where to, not there yet.
        classifier: ``models/classifier``, weights and ``config.json``.
        fit: goes with it: how an image that is not square becomes one.
        model: the ``mlflow.models.Model`` to write, a new one by default.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    config = _config(classifier)
    shape = (config["image_size"], config["image_size"], config["channels"])
    classes = (-1, len(config["class_names"]))
    save_model(
        folder,
        model,
        code="classifier_model.py",
        weights=("classifier", classifier),
        room="classifier",
        requirements=_REQUIREMENTS,
        signature=ModelSignature(
            inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *shape))]),
            outputs=Schema([TensorSpec(np.dtype(np.float32), classes)]),
        ),
        example=np.zeros((1, *shape), np.uint8),
        config={"fit": fit},
    )


def _config(classifier: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((classifier / CONFIG).read_text(encoding="utf-8"))
    return config


def _log(store: Store, experiment: str, run_id: str, of: Results, fit: str) -> LoggedModel:
    """Log the classifier as the model of a run, unless an attempt that broke off has.

    Raises:
        UserError: the weights are missing, or not those that the summary tells of.
    """
    weights = of.classifier / WEIGHTS
    if not weights.is_file():
        raise UserError(str(weights), "missing", "Run `dvc checkout`, then `ganlift track`")
    if hashlib.sha256(weights.read_bytes()).hexdigest() != of.retraining["kept"]["sha256"]:
        raise UserError(
            str(weights),
            "it is not the classifier that retrain.json describes",
            "Run `ganlift run --from retrain`, which makes both again",
        )
    client = store.client()
    outputs = client.get_run(run_id).outputs
    for output in outputs.model_outputs if outputs else []:
        entry = client.get_logged_model(output.model_id)
        if entry.status == "READY":
            return entry
    return log_model(
        store,
        experiment,
        run_id,
        "classifier",
        lambda folder, model: save_classifier(folder, of.classifier, fit, model),
    )


def _create(client: MlflowClient, name: str, entry: LoggedModel, of: Results) -> ModelVersion:
    if not client.search_registered_models(f"name = '{name}'", max_results=1):
        client.create_registered_model(name, description=_NOTE)
    found = of.content
    return client.create_model_version(
        name,
        entry.artifact_location,
        entry.source_run_id,
        tags=_version_tags(of),
        description=f"{found.verdict}: {words.headline(found)}, {words.against(found)}",
        model_id=entry.model_id,
    )


def _version_tags(of: Results) -> dict[str, str]:
    """Return what a version says of itself, as tags.

    ``ganlift.value`` is the kept classifier's own primary metric on test images, a share of 1
    (nats for log loss); the lift is of the arm, in the unit of ``lift.json``.
    """
    kept, found = of.retraining["kept"], of.content
    column = found.primary_metric
    if column.startswith(RECALL):
        column = (
            f"recall_{_config(of.classifier)['class_names'].index(column.removeprefix(RECALL))}"
        )
    told = found.model_dump(include={"verdict", "treatment", "baseline", "primary_metric"})
    told |= {"lift_pp": found.lift_pp.mean, "value": kept["test"][column]}
    told |= {f"lift_pp_{end}": getattr(found.lift_pp, end) for end in ("ci_low", "ci_high")}
    told |= {name: kept[name] for name in ("arm", "seed", "gan_seed")}
    told["test_digest"] = of.retraining["test"]["digest"]
    return {f"ganlift.{name}": str(value) for name, value in told.items()} | {DIGEST: of.digest}


def _found(client: MlflowClient, dataset: str, version: int | None) -> ModelVersion:
    versions = {int(one.version): one for one in versions_of(client, dataset)}
    name = registered_name(dataset)
    if not versions:
        raise UserError(
            f"model {name}", "no classifier is registered", "Run `ganlift run`, or `ganlift track`"
        )
    listed = ", ".join(
        f"{number} ({one.tags.get('ganlift.verdict', 'no verdict')})"
        for number, one in sorted(versions.items(), reverse=True)[:_MOST_LISTED]
    )
    if version is not None:
        if version not in versions:
            raise UserError(f"--model {version}", "no such version", f"{name} has {listed}")
        return versions[version]
    champion = champion_of(client, dataset)
    if champion is None:
        raise UserError(
            f"model {name}",
            "it has no champion, because no run has shown yet that GAN images help",
            f"Name a version with --model VERSION; there are {listed}",
        )
    return champion

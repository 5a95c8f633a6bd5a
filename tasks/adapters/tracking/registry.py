"""The retrained classifier in MLflow's registry, and which version is the champion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tasks.adapters.tracking.names import interval_text, registered_name
from tasks.adapters.tracking.retrained import Retrained, log_classifier
from tasks.adapters.tracking.store import Store
from tasks.contracts.params.report import RECALL

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
_ASKED = "ganlift.champion"  # tag: whether the version became it when it was registered, or why not
_NOTE = """\
The classifier retrained by ganlift on real images, classical augmentation and filtered GAN images.
A version a result; its tags hold the verdict, the lift with its interval, and what it reaches
itself on the test split. `champion` moves only to a version whose verdict is "helps" and that is
not worse than the champion on the same test split. `ganlift predict FOLDER` uses it.
"""


def register(store: Store, *, dataset: str, run_id: str, of: Retrained) -> str | None:
    """Register the classifier of a pipeline's run, once, and let it become champion if it may.

    Args:
        store: holds the run.
        dataset: the source as in ``params.yaml``; names the model.
        run_id: of the pipeline's run.
        of: the classifier; a version is known by its `digest`.

    Returns:
        A line that says what became of it, None where that was settled before.

    Raises:
        UserError: the files are not of one run of retrain.
    """
    client, name = store.client(), registered_name(dataset)
    version = _version_of(client, name, of.digest)
    if version is None:
        entry = log_classifier(store, store.experiment(dataset), run_id, of)
        version = _create(client, name, entry, of)
    elif _ASKED in version.tags:
        return None
    champion = _champion(client, name)
    reason = why_not(version.tags, None if champion is None else champion.tags)
    if reason is None:
        client.set_registered_model_alias(name, CHAMPION, version.version)
    client.set_model_version_tag(name, version.version, _ASKED, reason or "yes")
    line = f"model    {name} version {version.version}"
    if reason is None:
        return f"{line}, the champion now"
    stays = f"version {champion.version} stays it" if champion else "there is none yet"
    return f"{line}, not the champion ({stays}): {reason}"


def version_tags(of: Retrained) -> dict[str, str]:
    """Return what a version says of itself, as tags.

    ``ganlift.value`` is the kept classifier's own primary metric on test images, a share of 1
    (nats for log loss); the lift is of the arm, in the unit of ``lift.json``.
    """
    kept, result = of.summary["kept"], of.result
    points = result["lift_pp"]
    metric = column = result["primary_metric"]
    if metric.startswith(RECALL):
        column = f"recall_{of.config['class_names'].index(metric.removeprefix(RECALL))}"
    return {
        f"ganlift.{key}": str(value)
        for key, value in {
            "verdict": result["verdict"],
            "lift_pp": points["mean"],
            "lift_pp_ci_low": points["ci_low"],
            "lift_pp_ci_high": points["ci_high"],
            "treatment": result["treatment"],
            "baseline": result["baseline"],
            "primary_metric": metric,
            "value": kept["test"][column],
            "test_digest": of.summary["test"]["digest"],
            "lift_sha256": of.digest,
            "arm": kept["arm"],
            "seed": kept["seed"],
            "gan_seed": kept["gan_seed"],
        }.items()
    }


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
        return f"its {metric} is no number"
    if mine > theirs if metric == "log_loss" else mine < theirs:
        return f"its {metric} of {mine:.4f} is worse than the champion's {theirs:.4f}"
    return None


def _version_of(client: MlflowClient, name: str, digest: str) -> ModelVersion | None:
    wanted = f"name = '{name}' and tags.`ganlift.lift_sha256` = '{digest}'"
    found = client.search_model_versions(wanted, max_results=1)
    return found[0] if found else None


def _champion(client: MlflowClient, name: str) -> ModelVersion | None:
    aliases = client.get_registered_model(name).aliases
    return client.get_model_version(name, aliases[CHAMPION]) if CHAMPION in aliases else None


def _create(client: MlflowClient, name: str, entry: LoggedModel, of: Retrained) -> ModelVersion:
    if not client.search_registered_models(f"name = '{name}'", max_results=1):
        client.create_registered_model(name, description=_NOTE)
    result = of.result
    return client.create_model_version(
        name,
        entry.artifact_location,
        entry.source_run_id,
        tags=version_tags(of),
        description=f"{result['verdict']}: {interval_text(result)} in {result['metric_name']}, "
        f"{result['treatment']} over {result['baseline']}",
        model_id=entry.model_id,
    )

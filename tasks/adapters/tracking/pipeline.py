"""One MLflow run for each pipeline: the verdict first, the report, and the arms as children."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copy
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pandas as pd
from PIL import Image

from tasks.adapters.tracking.arms import arms_table, write_arms
from tasks.adapters.tracking.lineage import (
    NOTE,
    dataset_input,
    flatten,
    lineage_tags,
    run_page,
    safe_name,
)
from tasks.adapters.tracking.pipeline_note import REPORT, SHOWN, describe, small_picture
from tasks.adapters.tracking.registry import register
from tasks.adapters.tracking.results import DIGEST, LiftFiles, Results
from tasks.adapters.tracking.store import Store, store_at, tracking_uri
from tasks.adapters.tracking.work import begun
from tasks.answer.settling import settling_table
from tasks.contracts.params.reading import FILE, read_values
from tasks.lift.result import LiftResult

if TYPE_CHECKING:
    from mlflow.entities import Run

_PICTURE_WIDTH = 640
_LATER = "not logged yet: `ganlift track`"
_ARMS, _SETTLING = "arms.json", "settling.json"  # tables, which MLflow's page draws as such


@dataclass(frozen=True)
class Logged:
    """The run of a result: its id, its name, and whether it was logged just now."""

    run_id: str
    name: str
    new: bool


def log_pipeline(*, dataset: str, sets: Sequence[Path], **files: Path) -> None:
    """Log the pipeline's run with its arms and register its classifier, each once.

    Where the store cannot be reached, one line on stderr says so and nothing is raised;
    `past_runs.log_missing` logs later what was missed.

    Args:
        dataset: the source as in ``params.yaml``; names the experiment and the model.
        sets: folders of the ImageSets that the result comes from.
        files: those of `Results`, by their names.
    """
    results = Results(**files)
    store, params = store_at(tracking_uri()), read_values(FILE)
    run_ids: list[str] = []

    def log() -> None:
        logged = write_pipeline(
            store, dataset=dataset, params=params, results=results, sets=sets, began=begun()
        )
        run_ids.append(logged.run_id)

    def enter() -> None:
        fit = params["ingest"]["fit"]
        if line := register(store, results, dataset=dataset, run_id=run_ids[0], fit=fit):
            print(line, flush=True)

    if store.attempt(log):
        store.attempt(enter, store.registry_uri)


def log_folds(what: str, *, dataset: str, sets: Sequence[Path] = (), **files: Path) -> None:
    """Log the run of one fold or of all; no classifier of theirs may become the champion.

    Each fold is judged on test images of its own, so their classifiers cannot be compared.

    Args:
        what: ``fold 2 of 5`` or ``5 folds``.
        dataset: as `log_pipeline`.
        sets: likewise.
        files: those of `LiftFiles`, by their names.
    """
    store, params, found = store_at(tracking_uri()), read_values(FILE), LiftFiles(**files)

    def log() -> None:
        write_pipeline(
            store,
            dataset=dataset,
            params=params,
            results=found,
            sets=sets,
            what=what,
            began=begun(),
        )

    store.attempt(log)


def write_pipeline(
    store: Store,
    *,
    dataset: str,
    params: Mapping[str, Any],
    results: LiftFiles,
    sets: Sequence[Path],
    what: str = "",
    began: float | None = None,
) -> Logged:
    """Log a pipeline's results, or find the run that holds them. Raises what MLflow does.

    Args:
        store: where to.
        dataset: the source as in ``params.yaml``.
        params: all of that file.
        results: files.
        sets: folders of the ImageSets that they come from.
        what: of a cross-validation this is the result; it stands before the run's name.
        began: when the line did, in seconds since 1970; where nobody knows any more, now.
    """
    from mlflow.entities import Metric, Param

    client, experiment = store.client(), store.experiment(dataset)
    lift, gans = results.content, _json(results.gan_metrics)
    links = _gan_links(store, experiment, gans)
    if first := store.finished(experiment, DIGEST, results.digest):
        # The summary may have been written before its GANs were logged.
        if _LATER in first.data.tags.get(NOTE, ""):
            _say_again(store, experiment, first, lift, links)
        return Logged(first.info.run_id, str(first.info.run_name), new=False)
    _drop_unfinished(store, experiment, results.digest)
    tags = lineage_tags("pipeline", dataset) | store.own_process()
    tags |= {
        "ganlift.verdict": lift.verdict,
        "ganlift.test_digest": lift.digests.test,
        DIGEST: results.digest,
        "mlflow.source.name": "python -m tasks.report",
    }
    name = f"{what}, {results.name}" if what else results.name
    now = time.time_ns() // 1_000_000
    start = now if began is None else round(1000 * began)
    run_id = client.create_run(experiment, start, tags, name).info.run_id
    metrics = [Metric(*item, now, 0) for item in (*_lift_metrics(lift), *_gan_metrics(gans))]
    trained = lift.classifier
    flat = list(flatten(params).items())
    flat += [("recipe", trained.recipe), ("steps", str(trained.steps))]  # as they were settled
    client.log_batch(run_id, metrics=metrics)
    client.log_inputs(run_id, [dataset_input(dataset, folder) for folder in sets])
    for start in range(0, len(flat), 100):  # MLflow's limit
        client.log_batch(run_id, params=[Param(*item) for item in flat[start : start + 100]])
    with tempfile.TemporaryDirectory() as scratch:
        copy(results.page, Path(scratch) / REPORT)
        pictures = _small_pictures(results.pictures, Path(scratch))
        client.log_artifacts(run_id, scratch)
    client.log_artifact(run_id, str(results.lift))
    client.log_artifacts(run_id, str(results.pictures), "pictures")
    client.log_table(run_id, arms_table(lift), _ARMS)
    if trained.settling:
        client.log_table(run_id, settling_table(trained), _SETTLING)
    client.set_tag(run_id, NOTE, describe(lift, tags, experiment, run_id, links, pictures))
    write_arms(store, experiment, run_id, dataset, pd.read_parquet(results.runs), lift)
    store.end(run_id, "FINISHED")
    return Logged(run_id, name, new=True)


def _lift_metrics(result: LiftResult) -> Iterator[tuple[str, float]]:
    """Yield lift, interval, worth, every arm's mean of the primary metric, and what leaks."""
    lift, worth = result.lift_pp, result.worth
    values = {"lift_pp": lift.mean, "mde_pp": result.mde_pp, "p_value": lift.p_value}
    values |= {"lift_pp_ci_low": lift.ci_low, "lift_pp_ci_high": lift.ci_high}
    if worth and worth.real_images is not None:
        values["worth_real_images"] = worth.real_images - worth.have
    metric = result.primary_metric
    values |= {f"{arm}.{metric}": result.primary(arm).mean for arm in result.arms}
    if shared := result.sharing:
        values |= {f"attack_{name}_auc": of.auc.value for name, of in shared.attacks.items()}
        values |= {f"attack_{k}_tpr": of.tpr.value for k, of in shared.attacks.items() if of.tpr}
        values |= {"epsilon": shared.guarantee.epsilon_together} if shared.guarantee else {}
    for name, value in values.items():
        if math.isfinite(value):
            yield safe_name(name), float(value)


def _gan_metrics(gans: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield ``gan/kid`` and the like: what the kept checkpoints reach on real/val, averaged."""
    found = [gan["evaluation"] for gan in gans.values()]
    for name in dict.fromkeys(name for evaluation in found for name in evaluation):
        yield f"gan/{safe_name(name)}", fmean(of[name] for of in found if name in of)


def _small_pictures(pictures: Path, out: Path) -> list[str]:
    """Write what the description shows, as wide as that is: MLflow shows a picture at its size."""
    written = []
    for name in SHOWN:
        if not (pictures / f"{name}.png").is_file():  # folds judge different images
            continue
        with Image.open(pictures / f"{name}.png") as picture:
            height = round(picture.height * _PICTURE_WIDTH / picture.width)
            small = picture.convert("RGB").resize(
                (_PICTURE_WIDTH, height), Image.Resampling.LANCZOS
            )
        small.save(out / small_picture(name))
        written.append(name)
    return written


def _gan_links(store: Store, experiment: str, gans: Mapping[str, Any]) -> str:
    """Return links to the GAN runs behind the result, found by their checkpoints' hashes."""
    links = []
    for seed, entry in gans.items():
        run = store.finished(experiment, "ganlift.checkpoint", entry["checkpoint"])
        name = f"GAN seed {seed}"
        links.append(
            f"[{name}]({run_page(experiment, run.info.run_id)})" if run else f"{name} ({_LATER})"
        )
    return f"The GANs behind this result: {' · '.join(links)}"


def _say_again(store: Store, experiment: str, run: Run, lift: LiftResult, links: str) -> None:
    """Write a run's description anew, with the pictures that it has."""
    client, run_id = store.client(), run.info.run_id
    files = {one.path for one in client.list_artifacts(run_id)}
    pictures = [name for name in SHOWN if small_picture(name) in files]
    note = describe(lift, run.data.tags, experiment, run_id, links, pictures)
    client.set_tag(run_id, NOTE, note)


def _drop_unfinished(store: Store, experiment: str, digest: str) -> None:
    """Delete what an interrupted attempt at the same results left behind, children first."""
    client = store.client()
    for run in client.search_runs([experiment], f"tags.`{DIGEST}` = '{digest}'"):
        children = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
        for child in client.search_runs([experiment], children):
            client.delete_run(child.info.run_id)
        client.delete_run(run.info.run_id)


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content

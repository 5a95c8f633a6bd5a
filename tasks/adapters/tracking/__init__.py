"""Tracking with MLflow: what the stages and the command line call.

This package alone imports MLflow.

Tracking never fails a stage: where the store cannot be reached, one line on stderr says so,
and `log_missing` logs later what was missed, from the files of the results.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.adapters.tracking.gan import GanRun, gan_run, open_run, unsent_speed
from tasks.adapters.tracking.gan_health import evaluations_of, events_of
from tasks.adapters.tracking.lineage import recorded_params, written_params
from tasks.adapters.tracking.pipeline import Results, write_pipeline
from tasks.adapters.tracking.registry import register
from tasks.adapters.tracking.retrained import Retrained
from tasks.adapters.tracking.server import serve
from tasks.adapters.tracking.store import Store, explain, quick, store_at, tracking_uri
from tasks.contracts.errors import UserError

__all__ = ["GanRun", "gan_run", "log_missing", "log_pipeline", "serve"]


def log_pipeline(
    *,
    dataset: str,
    lift: Path,
    page: Path,
    pictures: Path,
    runs: Path,
    gan_metrics: Path,
    retrained: Path,
    classifier: Path,
) -> None:
    """Log the pipeline's run with its arms and register its classifier, each once.

    Args:
        dataset: the source as in ``params.yaml``; names the experiment and the model.
        lift: ``lift.json``; its sha256 is what the run is known by.
        page: the report, one HTML file.
        pictures: a folder of PNG files.
        runs: ``runs.parquet``, a row for each arm and classifier seed.
        gan_metrics: ``gan.json``, with the checkpoints the result was made with.
        retrained: ``retrain.json``.
        classifier: the retrained classifier's folder.
    """
    store, params = store_at(tracking_uri()), written_params()
    results = Results(lift, page, pictures, runs, gan_metrics, retrained, classifier)
    run_ids: list[str] = []

    def log() -> None:
        logged = write_pipeline(store, dataset=dataset, params=params, results=results)
        run_ids.append(logged.run_id)

    def enter() -> None:
        of = _registered(results, params)
        if line := register(store, dataset=dataset, run_id=run_ids[0], of=of):
            print(line, flush=True)

    if store.attempt(log):
        store.attempt(enter, store.registry_uri)


def log_missing(*, dataset: str, paths: Mapping[str, Path]) -> list[str]:
    """Log the results on disk that the store lacks, and say what was logged.

    Args:
        dataset: the source as in ``params.yaml``.
        paths: ``vars.path`` of ``dvc.yaml``.

    Returns:
        A line for each run logged (or that could not be), none where nothing was missing.

    Raises:
        UserError: there are no results, or the store cannot be reached.
    """
    if not paths["gan_metrics"].is_file():
        raise UserError(
            str(paths["gan_metrics"]), "there are no results to log", "Run `ganlift run` first"
        )
    store = Store(tracking_uri(), forgiving=False)
    try:
        with quick():
            lines = _missing_gans(store, dataset, paths)
            if paths["lift"].is_file():
                lines += _missing_pipeline(store, dataset, paths)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            "tracking", explain(store.uri, error), "Start the server, then run `ganlift track`"
        ) from error
    return lines


def _missing_gans(store: Store, dataset: str, paths: Mapping[str, Path]) -> list[str]:
    """Replay the GANs that no finished run holds, from their files and checkpoints."""
    curves, recorded = pd.read_csv(paths["gan_curves"]), recorded_params()
    evaluations = pd.read_csv(
        paths["gan_evaluations"], dtype={"class_name": str, "metric": str}, keep_default_na=False
    )
    params = {**recorded["train_gan"], "seed": recorded["seed"]}  # as the stage logs them
    del params["seeds"]
    lines = []
    for key, entry in json.loads(paths["gan_metrics"].read_text(encoding="utf-8")).items():
        seed, folder = int(key), paths["gan"] / key
        if store.finished(store.experiment(dataset), "ganlift.checkpoint", entry["checkpoint"]):
            continue
        if not folder.is_dir():
            lines.append(f"GAN seed {seed}: not logged, {folder} is missing (`dvc checkout`)")
            continue
        with open_run(store, dataset, seed, params, paths["train"]) as run:
            rows = curves[curves["gan_seed"] == seed].drop(columns="gan_seed")
            if (unsent := unsent_speed(entry["checkpoint"])).is_file():
                rows = rows.merge(pd.read_csv(unsent).round({"kimg": 6}), on="kimg", how="left")
            drawn = sorted((paths["gan_grids"] / key).glob("*.png"))
            _replay(run, rows, [path for path in drawn if path.stem.isdecimal()])
            for kimg, evaluation in evaluations_of(evaluations[evaluations["gan_seed"] == seed]):
                run.evaluated(kimg, evaluation)
            run.health(events_of(entry), entry["collapsed"])
            pictures = [path for path in drawn if not path.stem.isdecimal()]
            run.finish(folder, entry["checkpoint"], pictures)
        lines.append(f"GAN seed {seed}: logged, checkpoint {entry['checkpoint'][:12]}")
    return lines


def _replay(run: GanRun, rows: pd.DataFrame, grids: Sequence[Path]) -> None:
    """Tick through the curves, each grid (named by its kimg) with the row nearest to it."""
    nearest = {int((rows["kimg"] - int(path.stem)).abs().argmin()): path for path in grids}
    for index, (_, row) in enumerate(rows.iterrows()):
        known = row.dropna()  # a tick whose speed was never kept has none to tell
        run.tick({str(name): float(known[name]) for name in known.index}, nearest.get(index))


def _missing_pipeline(store: Store, dataset: str, paths: Mapping[str, Path]) -> Iterator[str]:
    """Log the pipeline's run if none has this ``lift.json``, and register its classifier."""
    names = ("lift", "page", "pictures", "runs", "gan_metrics", "retrain", "classifier")
    for name in names:
        if not paths[name].exists():
            raise UserError(str(paths[name]), "missing beside its lift.json", "Run `dvc checkout`")
    results, params = Results(*(paths[name] for name in names)), recorded_params()
    logged = write_pipeline(store, dataset=dataset, params=params, results=results)
    if logged.new:
        yield f"pipeline: logged, {logged.name}"
    try:
        of = _registered(results, params)
        line = register(store, dataset=dataset, run_id=logged.run_id, of=of)
    except UserError:
        raise
    except Exception as error:
        yield f"model: not registered, {explain(store.registry_uri, error)}"
    else:
        yield from [line] if line else []


def _registered(results: Results, params: Mapping[str, Any]) -> Retrained:
    """Return what is to be registered."""
    return Retrained(
        folder=results.classifier,
        fit=params["ingest"]["fit"],
        summary=json.loads(results.retrained.read_text(encoding="utf-8")),
        result=results.content,
        digest=results.digest,
    )

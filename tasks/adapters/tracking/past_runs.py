"""Earlier runs: pipeline runs by what a person calls them, and results that MLflow has missed."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tasks.adapters.tracking.failures import explain
from tasks.adapters.tracking.gan import CHECKPOINT, DIVERGED, STOPPED, GanRun, gan_run, unsent_speed
from tasks.adapters.tracking.lineage import locked_stages
from tasks.adapters.tracking.pipeline import write_pipeline
from tasks.adapters.tracking.registry import register
from tasks.adapters.tracking.results import Results
from tasks.adapters.tracking.store import Store, asked, is_one_fold
from tasks.contracts.errors import UserError
from tasks.contracts.evaluation import GanEvaluation
from tasks.contracts.params.reading import FILE, read_values
from tasks.lift.result import LiftResult

if TYPE_CHECKING:
    from mlflow.entities import Run

_LATEST = re.compile(r"latest(?:~(\d+))?")
_ID = 8  # characters of a run's id that are shown
_MOST_LISTED = 8


@dataclass(frozen=True)
class PastRun:
    """A pipeline's run.

    Attributes:
        run_id: in MLflow.
        dataset: the source as in ``params.yaml``.
        commit: of the code, ``-dirty`` behind it where files had been edited; empty if unknown.
        lift: its result.
        params: ``section.key`` to text.
        gans: figures of its GANs on real/val, averaged over them: ``kid`` to value.
    """

    run_id: str
    dataset: str
    commit: str
    lift: LiftResult
    params: Mapping[str, str]
    gans: Mapping[str, float]

    @property
    def short_id(self) -> str:
        """The id's beginning."""
        return self.run_id[:_ID]


def past_runs(wanted: Sequence[str]) -> list[PastRun]:
    """Find pipeline runs, in the order in which they are wanted.

    Args:
        wanted: run ids, beginnings of one, ``latest``, or ``latest~1`` for the one before.

    Raises:
        UserError: fewer than two, an unknown run, a beginning that several share, a run named
            twice or without a result that can be read; or the store cannot be reached.
    """
    if len(wanted) < 2:
        raise UserError(
            "compare",
            "it takes at least two runs",
            "Name them by their ids, or as `ganlift compare latest~1 latest`",
        )
    with asked("try again") as store:
        known = list(store.pipelines())
        found = [named(name, known) for name in wanted]
        for number, run in enumerate(found):
            if run in found[:number]:
                twice = f"is run {run.info.run_id[:_ID]}, which is named twice"
                raise UserError(wanted[number], twice, "Name each run once")
        return [_read(store, run) for run in found]


def named(name: str, known: Sequence[Run]) -> Run:
    """Return the pipeline's run that a person calls so.

    Args:
        name: its id or the beginning of it, ``latest``, or ``latest~1`` for the one before, which
            are no single folds.
        known: all pipeline runs, newest first.

    Raises:
        UserError: an unknown run, or a beginning that several share.
    """
    listed = [f"{run.info.run_id[:_ID]} ({run.info.run_name})" for run in known[:_MOST_LISTED]]
    mend = f"The newest are {', '.join(listed)}" if listed else "Run `ganlift run` first"
    if match := _LATEST.fullmatch(name):
        back = int(match[1] or 0)
        answers = [run for run in known if not is_one_fold(run)]
        if back >= len(answers):
            count = len(answers)
            there = "is 1 pipeline run" if count == 1 else f"are {count} pipeline runs"
            raise UserError(name, f"there {there}", mend)
        return answers[back]
    found = [run for run in known if name and run.info.run_id.startswith(name)]
    if not found:
        raise UserError(f"run {name}", "no pipeline run has an id that begins with this", mend)
    if len(found) > 1:
        ids = ", ".join(run.info.run_id for run in found[:_MOST_LISTED])
        raise UserError(f"run {name}", f"several ids begin with this: {ids}", "Give more of it")
    return found[0]


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
    for name in ("gan_metrics", "gan_curves", "gan_evaluations"):  # of which Git keeps the first
        if not paths[name].is_file():
            raise UserError(
                str(paths[name]),
                "missing, so there are no results to log",
                "Run `ganlift run` first, or `dvc checkout` where they were made before",
            )
    with asked("run `ganlift track`") as store:
        lines = list(_missing_gans(store, dataset, paths))
        if paths["lift"].is_file():
            lines += _missing_pipeline(store, dataset, paths)
        return lines


def _read(store: Store, run: Run) -> PastRun:
    with tempfile.TemporaryDirectory() as scratch:
        path = store.client().download_artifacts(run.info.run_id, "lift.json", scratch)
        text = Path(path).read_text(encoding="utf-8")
    tags = run.data.tags
    return PastRun(
        run_id=run.info.run_id,
        dataset=tags.get("ganlift.dataset", ""),
        commit=tags.get("ganlift.git", ""),
        lift=LiftResult.parse(text, f"run {run.info.run_id[:_ID]}"),
        params=run.data.params,
        gans={
            name.removeprefix("gan/"): value
            for name, value in run.data.metrics.items()
            if name.startswith("gan/")
        },
    )


def _recorded_params() -> dict[str, Any]:
    """Return the params the results on disk were made with: ``dvc.lock``'s over the file's."""
    params = read_values(FILE)
    for stage in locked_stages().values():
        params |= stage.get("params", {}).get(FILE.name, {})
    return params


def _missing_gans(store: Store, dataset: str, paths: Mapping[str, Path]) -> Iterator[str]:
    """Replay the GANs that no finished run holds, from their files and checkpoints."""
    curves, recorded = pd.read_csv(paths["gan_curves"]), _recorded_params()
    evaluations = pd.read_csv(
        paths["gan_evaluations"], dtype={"class_name": str, "metric": str}, keep_default_na=False
    )
    params = {**recorded["train_gan"], "seed": recorded["seed"]}  # as the stage logs them
    del params["seeds"]
    for key, entry in json.loads(paths["gan_metrics"].read_text(encoding="utf-8")).items():
        seed, folder, checkpoint = int(key), paths["gan"] / key, entry["checkpoint"]
        if store.finished(store.experiment(dataset), CHECKPOINT, checkpoint):
            continue
        if not folder.is_dir():
            yield f"GAN seed {seed}: not logged, {folder} is missing (`dvc checkout`)"
            continue
        with gan_run(
            dataset=dataset, gan_seed=seed, params=params, train=paths["train"], store=store
        ) as run:
            rows = curves[curves["gan_seed"] == seed].drop(columns="gan_seed")
            if (unsent := unsent_speed(checkpoint)).is_file():
                rows = rows.merge(pd.read_csv(unsent).round({"kimg": 6}), on="kimg", how="left")
            drawn = sorted((paths["gan_grids"] / key).glob("*.png"))
            _replay(run, rows, [path for path in drawn if path.stem.isdecimal()])
            for kimg, evaluation in _evaluations(evaluations[evaluations["gan_seed"] == seed]):
                run.evaluated(kimg, evaluation)
            run.health(events_of(entry), entry["collapsed"])
            pictures = [path for path in drawn if not path.stem.isdecimal()]
            run.finish(folder, checkpoint, pictures)
        yield f"GAN seed {seed}: logged, checkpoint {checkpoint[:12]}"


def _replay(run: GanRun, rows: pd.DataFrame, grids: Sequence[Path]) -> None:
    """Tick through the curves, each grid (named by its kimg) with the row nearest to it."""
    nearest = {int((rows["kimg"] - int(path.stem)).abs().argmin()): path for path in grids}
    for index, (_, row) in enumerate(rows.iterrows()):
        known = row.dropna()  # a tick whose speed was never kept has none to tell
        run.tick({str(name): float(known[name]) for name in known.index}, nearest.get(index))


def _evaluations(table: pd.DataFrame) -> Iterator[tuple[float, GanEvaluation]]:
    """Yield kimg and evaluation from one GAN's rows of ``gan_evaluations.csv``.

    Args:
        table: kimg, class_name ("": over all classes), metric, value.
    """
    for kimg, rows in table.groupby("kimg"):
        overall: dict[str, float] = {}
        by_class: dict[str, dict[str, float]] = {}
        for name, metric, value in rows[["class_name", "metric", "value"]].itertuples(index=False):
            (by_class.setdefault(name, {}) if name else overall)[metric] = float(value)
        yield float(str(kimg)), GanEvaluation(overall, by_class)


def events_of(entry: Mapping[str, Any]) -> list[str]:
    """Return the events behind the counts that ``gan.json`` keeps of one GAN."""
    events = [f"{DIVERGED}; back to the last good state"] * entry["rollbacks"]
    return events + ([f"{STOPPED} early, collapsed"] if entry["stopped_early"] else [])


def _missing_pipeline(store: Store, dataset: str, paths: Mapping[str, Path]) -> Iterator[str]:
    """Log the pipeline's run if none has this ``lift.json``, and register its classifier."""
    names = ("lift", "page", "pictures", "runs", "gan_metrics", "retrain", "classifier")
    for name in names:
        if not paths[name].exists():
            raise UserError(str(paths[name]), "missing beside its lift.json", "Run `dvc checkout`")
    results, params = Results(*(paths[name] for name in names)), _recorded_params()
    sets = [paths[name] for name in ("train", "val", "test", "accepted") if paths[name].is_dir()]
    logged = write_pipeline(store, dataset=dataset, params=params, results=results, sets=sets)
    if logged.new:
        yield f"pipeline: logged, {logged.name}"
    try:
        fit = params["ingest"]["fit"]
        line = register(store, results, dataset=dataset, run_id=logged.run_id, fit=fit)
    except UserError:
        raise
    except Exception as error:
        yield f"model: not registered, {explain(store.registry_uri, error)}"
    else:
        yield from [line] if line else []

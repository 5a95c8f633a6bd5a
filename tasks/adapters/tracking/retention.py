"""Which results MLflow keeps, and everything that it logged for the others alone."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.adapters.tracking.gan import CHECKPOINT
from tasks.adapters.tracking.lineage import LINE
from tasks.adapters.tracking.model_names import registered_name
from tasks.adapters.tracking.store import Store
from tasks.adapters.tracking.versions import FOLDER

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

_FILE = "file://"
_DAY = 24 * 3600 * 1000  # milliseconds


@dataclass(frozen=True)
class Wanted:
    """Which results are kept: a result that either rule names.

    Attributes:
        newest: so many of each data set; None for no such rule.
        days: those that ended within so many days; None for no such rule.
    """

    newest: int | None
    days: float | None

    @property
    def is_all(self) -> bool:
        """Whether there is no rule, so that every result is kept."""
        return self.newest is None and self.days is None


@dataclass(frozen=True)
class Retired:
    """What may go, and what the results that stay need.

    Attributes:
        results: runs of results that nothing keeps, newest first.
        runs: these, their arms, and the GANs of none that stays.
        models: models that these runs logged.
        versions: of registered classifiers, entered by these runs.
        kept: how many results stay.
        locks: content of DVC's locks of those that stay.
        gone: likewise of those that may go, as far as their runs hold it.
    """

    results: Sequence[Run]
    runs: Sequence[Run]
    models: Sequence[LoggedModel]
    versions: Sequence[ModelVersion]
    kept: int
    locks: Sequence[str]
    gone: Sequence[str]

    def bytes_here(self) -> int:
        """Return what the artifacts take."""
        places = [run.info.artifact_uri for run in self.runs]
        places += [model.artifact_location for model in self.models]
        folders = [Path(uri.removeprefix(_FILE)) for uri in places]
        return sum(
            file.stat().st_size
            for folder in folders
            for file in folder.rglob("*")
            if file.is_file()
        )

    def with_nothing_to_go(self) -> Retired:
        """Return what is kept alone: a server may hold results of other projects, too."""
        return replace(self, results=(), runs=(), models=(), versions=())


def sort_out(store: Store, wanted: Wanted) -> Retired:
    """Tell results that stay from those that may go. Raises what MLflow does.

    The champion stays, whichever rule there is, and so does the run of every registered model
    with an alias, or under a name that ganlift did not give. Single folds go with the result over
    all of them, which is logged after them.
    """
    client = store.client()
    held, entered = _held(store)
    kept: list[Run] = []
    results: list[Run] = []
    seen: dict[str, int] = {}
    for run in store.pipelines():
        of_one_fold = str(run.info.run_name).startswith("fold ")
        model = registered_name(run.data.tags.get("ganlift.dataset", ""))
        if not of_one_fold:
            seen[model] = seen.get(model, 0) + 1
        newest = wanted.newest is not None and seen.get(model, 0) <= wanted.newest
        age = (time.time() * 1000 - run.info.end_time) / _DAY
        young = wanted.days is not None and age <= wanted.days
        stays = newest or young or run.info.run_id in held
        (kept if stays else results).append(run)
    lines = [_line(store, run) for run in kept if LINE in run.data.tags]
    runs = [*results, *_arms(store, results)]
    if len(lines) == len([run for run in kept if not str(run.info.run_name).startswith("fold ")]):
        runs += _gans(store, results, {one for _, found in lines for one in found})
    gone = {run.info.run_id for run in runs}
    experiments = [one.experiment_id for one in client.search_experiments()]
    models = [one for one in _models(store, experiments) if one.source_run_id in gone]
    versions = [one for one in entered if one.run_id in gone]
    locks = [lock for lock, _ in lines]
    old = [_line(store, run)[0] for run in results if LINE in run.data.tags]
    return Retired(results, runs, models, versions, len(kept), locks, old)


def retire(store: Store, retired: Retired) -> None:
    """Delete what may go, with its files, from the project's own store. Raises what MLflow does."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository as at

    repository: Any = at  # whose methods have no types
    client = store.client()
    # MLflow has no public call for it, and `mlflow gc` would take what a person deleted, too.
    books: Any = client._tracking_client.store
    for version in retired.versions:
        client.delete_model_version(version.name, version.version)
    for model in retired.models:
        client.delete_logged_model(model.model_id)
        repository(model.artifact_location).delete_artifacts()
        books._hard_delete_logged_model(model.model_id)
    for run in reversed(retired.runs):  # a result goes last, so that a kill leaves no orphans
        client.delete_run(run.info.run_id)
        repository(run.info.artifact_uri).delete_artifacts()
        books._hard_delete_run(run.info.run_id)


def _held(store: Store) -> tuple[set[str], list[ModelVersion]]:
    """Return the runs that registered models hold, and the versions that hold nothing."""
    client = store.client()
    models = _all(client.search_registered_models)
    aliased = {(one.name, str(version)) for one in models for version in one.aliases.values()}
    held: set[str] = set()
    entered = []
    for version in _all(client.search_model_versions):
        if (version.name, str(version.version)) in aliased or not version.name.startswith(
            "ganlift-"
        ):
            held.add(version.run_id or "")
        else:
            entered.append(version)
    return held, entered


def _line(store: Store, run: Run) -> tuple[str, set[str]]:
    """Return a result's lock, and the checkpoints of its GANs."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(store.client().download_artifacts(run.info.run_id, FOLDER, scratch))
        lock = (folder / run.data.tags[LINE]).read_text(encoding="utf-8")
        gans = [json.loads(file.read_text(encoding="utf-8")) for file in folder.rglob("gan.json")]
    return lock, {one["checkpoint"] for found in gans for one in found.values()}


def _arms(store: Store, results: Sequence[Run]) -> Iterator[Run]:
    for run in results:
        children = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
        yield from store.client().search_runs([run.info.experiment_id], children)


def _gans(store: Store, results: Sequence[Run], kept: set[str]) -> Iterator[Run]:
    """Yield the GANs that are older than the newest result to go, and in none that stays."""
    newest = max((run.info.start_time for run in results), default=0)
    for experiment in sorted({run.info.experiment_id for run in results}):
        told = f"tags.`ganlift.kind` = 'gan' and attributes.start_time < {newest}"
        for run in store.client().search_runs([experiment], told, max_results=50_000):
            if run.info.status != "RUNNING" and run.data.tags.get(CHECKPOINT) not in kept:
                yield run


def _models(store: Store, experiments: list[str]) -> list[LoggedModel]:
    def page(page_token: str | None) -> Any:
        return store.client().search_logged_models(experiments, page_token=page_token)

    return _all(page)


def _all(search: Any) -> list[Any]:
    """Return every page of a search."""
    found: list[Any] = []
    token: str | None = None
    while True:
        page = search(page_token=token)
        found += page
        if not (token := page.token):
            return found

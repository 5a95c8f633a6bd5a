"""Every logged result of a data set, oldest first, and which run holds a result."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tasks.adapters.timeline import LOCAL_PAGES, LoggedResult, ResultRun
from tasks.adapters.tracking.lineage import run_page
from tasks.adapters.tracking.model_names import champion_of, registered_name
from tasks.adapters.tracking.results import DIGEST
from tasks.adapters.tracking.store import Store, asked, tracking_uri
from tasks.contracts.errors import UserError
from tasks.lift.result import LiftResult

if TYPE_CHECKING:
    from mlflow.entities import Run

_LIFT = "lift.json"


def logged_results(dataset: str) -> list[LoggedResult]:
    """Return the results of a data set, oldest first; those of single folds are left out.

    Args:
        dataset: the source as in ``params.yaml``.

    Raises:
        UserError: the store or the registry cannot be reached.
    """
    with asked("try again", registry=True) as registry:
        champion = champion_of(registry.client(), dataset)
    best = champion.run_id if champion else None
    model = registered_name(dataset)
    with asked("try again") as store:
        found = [
            _read(store, run, best)
            for run in store.answers()
            if registered_name(run.data.tags.get("ganlift.dataset", "")) == model
        ]
    return sorted(found, key=lambda one: one.ended)


def run_of(digest: str) -> ResultRun | None:
    """Return the run that holds a result, None where none does.

    Args:
        digest: sha256 of the result's ``lift.json``.

    Raises:
        UserError: the store cannot be reached.
    """
    with asked("try again") as store:
        for run in store.pipelines():
            if run.data.tags.get(DIGEST) == digest:
                page = run_page(run.info.experiment_id, run.info.run_id)
                return ResultRun(run.info.run_id, _ended(run), f"{pages()}/{page}")
    return None


def pages() -> str:
    """Return the address of the store's pages, without who asks for them."""
    parts = urlsplit(tracking_uri())
    if parts.scheme not in ("http", "https"):
        return LOCAL_PAGES
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def _read(store: Store, run: Run, champion: str | None) -> LoggedResult:
    return LoggedResult(
        run_id=run.info.run_id,
        ended=_ended(run),
        name=str(run.info.run_name),
        verdict=run.data.tags.get("ganlift.verdict", ""),
        digest=run.data.tags.get(DIGEST, ""),
        champion=run.info.run_id == champion,
        lift=_lift(store, run.info.run_id),
    )


def _lift(store: Store, run_id: str) -> LiftResult | None:
    if _LIFT not in {one.path for one in store.client().list_artifacts(run_id)}:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(store.client().download_artifacts(run_id, _LIFT, scratch))
        try:
            return LiftResult.load(path)
        except UserError:  # the schema of an earlier ganlift
            return None


def _ended(run: Run) -> datetime:
    return datetime.fromtimestamp(run.info.end_time / 1000).astimezone()

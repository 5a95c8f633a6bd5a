"""Pipeline runs back from MLflow, by what a person calls them."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.adapters.tracking.store import Store, explain, quick, tracking_uri
from tasks.contracts.errors import UserError

if TYPE_CHECKING:
    from mlflow.entities import Run

_SCHEMA = "ganlift/lift/2"
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
        lift: content of its ``lift.json``.
        params: ``section.key`` to text.
        gans: figures of its GANs on real/val, averaged over them: ``kid`` to value.
    """

    run_id: str
    dataset: str
    commit: str
    lift: Mapping[str, Any]
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
    store = Store(tracking_uri(), forgiving=False)
    try:
        with quick():
            known = _pipelines(store)
            found = [_named(name, known) for name in wanted]
            for number, run in enumerate(found):
                if run in found[:number]:
                    twice = f"is run {run.info.run_id[:_ID]}, which is named twice"
                    raise UserError(wanted[number], twice, "Name each run once")
            return [_read(store, run) for run in found]
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            "tracking", explain(store.uri, error), "Start the server, then try again"
        ) from error


def _pipelines(store: Store) -> list[Run]:
    """Every finished pipeline run, newest first."""
    client = store.client()
    experiments = [one.experiment_id for one in client.search_experiments()]
    found: list[Run] = []
    token: str | None = None
    while True:
        page = client.search_runs(
            experiments,
            "tags.`ganlift.kind` = 'pipeline' and attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        found += page
        if not (token := page.token):
            return found


def _named(name: str, known: Sequence[Run]) -> Run:
    listed = [f"{run.info.run_id[:_ID]} ({run.info.run_name})" for run in known[:_MOST_LISTED]]
    mend = f"The newest are {', '.join(listed)}" if listed else "Run `ganlift run` first"
    if match := _LATEST.fullmatch(name):
        back = int(match[1] or 0)
        if back >= len(known):
            raise UserError(name, f"there are {len(known)} pipeline runs", mend)
        return known[back]
    found = [run for run in known if name and run.info.run_id.startswith(name)]
    if not found:
        raise UserError(f"run {name}", "no pipeline run's id begins so", mend)
    if len(found) > 1:
        ids = ", ".join(run.info.run_id for run in found[:_MOST_LISTED])
        raise UserError(f"run {name}", f"several ids begin so: {ids}", "Give more of it")
    return found[0]


def _read(store: Store, run: Run) -> PastRun:
    with tempfile.TemporaryDirectory() as scratch:
        path = store.client().download_artifacts(run.info.run_id, "lift.json", scratch)
        lift = json.loads(Path(path).read_text(encoding="utf-8"))
    if lift.get("schema") != _SCHEMA:
        raise UserError(
            f"run {run.info.run_id[:_ID]}",
            f"its lift.json is {lift.get('schema')!r}, not {_SCHEMA!r}",
            "Run `ganlift run` again for a result that can be compared",
        )
    tags = run.data.tags
    return PastRun(
        run_id=run.info.run_id,
        dataset=tags.get("ganlift.dataset", ""),
        commit=tags.get("ganlift.git", ""),
        lift=lift,
        params=run.data.params,
        gans={
            name.removeprefix("gan/"): value
            for name, value in run.data.metrics.items()
            if name.startswith("gan/")
        },
    )

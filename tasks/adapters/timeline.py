"""The results of a data set over time, in rows: what each says, and runs that brought none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tasks.answer import words
from tasks.lift.result import LiftResult

DAY, MINUTE = "%-d %b %Y", "%-d %b %Y, %H:%M"
SHOWN_ID = 8  # characters of a run's id that are shown
LOCAL_PAGES = "http://127.0.0.1:5000"  # of `ganlift ui`


@dataclass(frozen=True)
class ResultRun:
    """The run of MLflow that holds a result.

    Attributes:
        run_id: in MLflow.
        ended: when it ended, in local time.
        page: its address.
    """

    run_id: str
    ended: datetime
    page: str

    @property
    def short_id(self) -> str:
        """The id's beginning."""
        return self.run_id[:SHOWN_ID]

    @property
    def is_local(self) -> bool:
        """Whether its page is there only while ``ganlift ui`` runs."""
        return self.page.startswith(f"{LOCAL_PAGES}/")


@dataclass(frozen=True)
class LoggedResult:
    """A result as MLflow holds it.

    Attributes:
        run_id: in MLflow.
        ended: when the run ended, in local time.
        name: what the run is called.
        verdict: what its tag says; empty where it has none.
        digest: sha256 of its ``lift.json``.
        champion: its classifier is the data set's champion now.
        lift: the result; None where ``lift.json`` is gone or of another schema.
    """

    run_id: str
    ended: datetime
    name: str
    verdict: str
    digest: str
    champion: bool
    lift: LiftResult | None

    @property
    def short_id(self) -> str:
        """The id's beginning."""
        return self.run_id[:SHOWN_ID]


@dataclass(frozen=True)
class Night:
    """A run of the flow that ended with the result of the run before.

    Attributes:
        ended: when, in local time.
        digest: sha256 of the ``lift.json`` that it found.
    """

    ended: datetime
    digest: str


@dataclass(frozen=True)
class Failure:
    """A run of the flow that failed.

    Attributes:
        ended: when, in local time.
        source: the data set, as ``ingest.source`` has it.
        line: why.
    """

    ended: datetime
    source: str
    line: str


@dataclass(frozen=True)
class ResultRow:
    """A result in words: its lift, its training images, and what else is to be known of it."""

    of: LoggedResult
    lift: str
    images: str
    notes: str

    @property
    def ended(self) -> str:
        """When its run ended: ``29 Nov 2026, 03:12``."""
        return f"{self.of.ended:{MINUTE}}"


@dataclass(frozen=True)
class Quiet:
    """Nights with nothing new, with no result between them, oldest first."""

    nights: Sequence[Night]

    @property
    def said(self) -> str:
        """How many, and when: ``3 runs with nothing new, 29 Nov 2026 to 1 Dec 2026``."""
        return _counted(self.nights, "with nothing new")


@dataclass(frozen=True)
class Failed:
    """Runs that failed, with nothing else between them, oldest first."""

    failures: Sequence[Failure]

    @property
    def said(self) -> str:
        """How many, when, and why the last did: ``1 run failed, 29 Nov 2026: THING: REASON.``."""
        return f"{_counted(self.failures, 'failed')}: {self.failures[-1].line}"


Row = ResultRow | Quiet | Failed


def timeline(
    results: Sequence[LoggedResult], nights: Sequence[Night], failures: Sequence[Failure]
) -> list[Row]:
    """Return results, nights with nothing new and failures in the order of time.

    Nights that found a result which is not among these, as of another data set, are left out.
    """
    known = {one.digest for one in results}
    rows: list[Row] = []
    before: dict[bool, LiftResult] = {}  # whole runs and cross-validations count images apart
    quiet = [night for night in nights if night.digest in known]
    events: list[LoggedResult | Night | Failure] = [*results, *quiet, *failures]
    for event in sorted(events, key=lambda one: one.ended):
        last = rows[-1] if rows else None
        if isinstance(event, LoggedResult):
            of_folds = bool(event.lift and event.lift.folds)
            rows.append(_row(event, before.get(of_folds)))
            if event.lift:
                before[of_folds] = event.lift
        elif isinstance(event, Night):
            if isinstance(last, Quiet):
                rows[-1] = Quiet([*last.nights, event])
            else:
                rows.append(Quiet([event]))
        elif isinstance(last, Failed):
            rows[-1] = Failed([*last.failures, event])
        else:
            rows.append(Failed([event]))
    return rows


def _counted(runs: Sequence[Night | Failure], what: str) -> str:
    first, last = (f"{runs[end].ended:{DAY}}" for end in (0, -1))
    count = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    return f"{count} {what}, {first if first == last else f'{first} to {last}'}"


def _row(of: LoggedResult, before: LiftResult | None) -> ResultRow:
    notes, lift = ["champion"] if of.champion else [], of.lift
    if lift is None:
        notes.append("lift.json cannot be read")
        name = of.name.removeprefix(f"{of.verdict}: ")
        return ResultRow(of, name, words.NOTHING, ", ".join(notes))
    images = f"{lift.counts.train:,}"
    if lift.folds:
        notes.append(f"{len(lift.folds)} folds")
    if before:
        change = lift.counts.train - before.counts.train
        if change:
            images += f" ({words.signed(change, 0)})"
        if lift.digests.test != before.digests.test:
            notes.append("other test images than before")
    return ResultRow(of, words.lift(lift), images, ", ".join(notes))

"""What Prefect's page shows: how far a stage is, its samples and tables, and the answer."""

from __future__ import annotations

import base64
import json
import string
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from flows.folds import label, results_of
from flows.verdict import PAGE, lines
from tasks.adapters.timeline import ResultRun
from tasks.answer import words
from tasks.lift.result import LiftResult

SECONDS_BETWEEN_ARTIFACTS = 10.0
SECONDS_BETWEEN_SAMPLES = 60.0
_Rows = Callable[[Mapping[str, Any]], list[dict[str, Any]]]  # of a report, as a table
SAMPLES = Path(".ganlift/samples.png")  # the newest strip of any GAN, of every fold


@contextmanager
def told_progress(stage: str) -> Iterator[Callable[[float], None]]:
    """Yield what tells Prefect's page the share done (0 to 1), seldom enough to cost nothing.

    When the block ends, the page says 100 %, or how far the stage was when it ended early.
    """
    last, share_done = time.monotonic(), 0.0
    artifact: UUID | None = None

    def tell(share: float) -> None:
        nonlocal last, artifact, share_done
        share_done = share
        if time.monotonic() - last < SECONDS_BETWEEN_ARTIFACTS:
            return
        last = time.monotonic()
        if artifact is None:
            artifact = cast(UUID, create_progress_artifact(100 * share, description=stage))
        else:
            update_progress_artifact(artifact, 100 * share)

    try:
        yield tell
    except BaseException:
        if artifact is not None:
            with suppress(Exception):  # what ended the stage matters more than its page
                text = f"{stage}: ended early, at {share_done:.0%}"
                update_progress_artifact(artifact, 100 * share_done, text)
        raise
    if artifact is not None:
        update_progress_artifact(artifact, 100.0)


class Outcome:
    """What one visit of a stage writes, as Prefect's page shows it; not what stood there before.

    What cannot be shown (Prefect is away, a file is gone) is left out: no stage fails of its page.

    Args:
        target: what DVC calls the stage.
        root: the project's folder.
    """

    def __init__(self, target: str, root: Path) -> None:
        self._name = label(target)
        self._stage = self._name.rpartition(" ")[2]
        self._root, self._place = root, root / results_of(target)
        self._table = _TABLES.get(self._stage)
        self._before = _stamp(self._place / self._table[0]) if self._table else None
        self._samples: UUID | None = None
        self._seen = self._looked = time.time()

    def look(self) -> None:
        """Show the newest strip of samples, one picture that changes while the GANs train."""
        if time.time() - self._looked >= SECONDS_BETWEEN_SAMPLES:
            self._looked = time.time()
            if self._stage == "train_gan":
                with suppress(Exception):
                    self._show_samples()

    def show(self) -> None:
        """Show what the stage has written; one that failed may have told why."""
        with suppress(Exception):
            if self._stage == "train_gan":
                self._show_samples()
            elif self._table:
                self._show_table(*self._table)

    def _show_table(self, file: str, what: str, rows: _Rows) -> None:
        path = self._place / file
        if _stamp(path) != self._before:  # not by the time: a file's clock lags by a tick
            table = rows(json.loads(path.read_text(encoding="utf-8")))
            create_table_artifact(table, self._key(what), f"{self._name}: {what}")

    def _show_samples(self) -> None:
        path = self._root / SAMPLES
        if (written := path.stat().st_mtime) <= self._seen:
            return
        self._seen = written
        # Whole, because a page of a server may not show a file of the machine.
        content = base64.b64encode(path.read_bytes()).decode()
        picture = f"![a row for each class](data:image/png;base64,{content})"
        if self._samples is None:
            made = create_markdown_artifact(picture, self._key("samples"), f"{self._name}: samples")
            self._samples = cast(UUID, made)
        else:
            with get_client(sync_client=True) as client:
                client.update_artifact(self._samples, ArtifactUpdate(data=picture))

    def _key(self, what: str) -> str:
        fold = self._name.removesuffix(self._stage)
        return f"{fold}{what}".replace(" ", "-")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what another file in this place, or other content, would hardly have; None of none."""
    with suppress(OSError):
        there = path.stat()
        return there.st_ino, there.st_mtime_ns, there.st_size
    return None


def _expectations(validation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each expectation; what stops the line is first, then what warns."""
    found = [
        {
            "outcome": "passed" if one["passed"] else one["severity"],
            "split": one["split"],
            "found": escaped(one["observed"]),
            "expected": escaped(one["explanation"]),
        }
        for one in validation["expectations"]
    ]
    return sorted(found, key=lambda row: ("stop", "warn", "passed").index(row["outcome"]))


def _funnel(filtered: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each rule of the filter in their order: what it rejected and what it left.

    Coverage, recall and precision are those of the images left, against real/val.
    """
    kept = ("rule", "rejected", "left", "coverage", "recall", "precision")
    return [{name: rule[name] for name in kept} for rule in filtered["rules"]]


_TABLES: Mapping[str, tuple[str, str, _Rows]] = {
    "validate": ("validation.json", "expectations", _expectations),
    "quality_filter": ("filter.json", "filter funnel", _funnel),
}


def markdown(result: LiftResult, page: Path = PAGE, run: ResultRun | None = None) -> str:
    """Return the answer, with the ways to all of it.

    Args:
        result: the content of ``lift.json``.
        page: its report.
        run: of MLflow that holds it; None where MLflow does not tell.
    """
    told = "".join(f"- {escaped(line)}\n" for line in lines(result))
    meaning = words.MEANING[result.verdict]
    ways = f"The whole report: `{page}`."
    if run:
        ways += f"\n\nIn MLflow: [run {run.short_id}]({run.page})"
        ways += ", while `ganlift ui` serves it." if run.is_local else "."
    return f"# {result.verdict}: {meaning}\n\n{told}\n{ways}"


def escaped(text: str) -> str:
    """Return text from the data with nothing in it that Prefect's page would take as markup.

    By backslashes, as CommonMark has it (section 2.4): of HTML's entities it shows most as written.
    """
    return "".join(f"\\{c}" if c in string.punctuation else c for c in " ".join(text.split()))

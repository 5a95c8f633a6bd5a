"""Progress of a long stage, for whoever watches: a person's terminal, a log, or the flow.

On a terminal it is a live bar. Elsewhere it is a line ``progress SHARE TEXT`` (SHARE from 0
to 1), which a person can read in a log and the flow turns back into a bar.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_LINE = re.compile(r"^progress (?P<share>[01]\.\d{3}) (?P<text>.*)$")
_SECONDS_BETWEEN_LINES = 0.5


class Report(Protocol):
    """Tell the share done (0 to 1) and what is being done."""

    def __call__(self, share: float, text: str) -> None:
        """Show `share` and `text`."""


@contextmanager
def progress(stage: str) -> Iterator[Report]:
    """Yield a `Report` that draws a bar on a terminal and prints lines elsewhere."""
    if sys.stdout.isatty():
        with bar() as display:
            task = display.add_task(stage, total=1.0, text="")

            def draw(share: float, text: str) -> None:
                display.update(task, completed=share, text=text)

            yield draw
        return

    last = 0.0

    def write(share: float, text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if share >= 1.0 or now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            print(f"progress {min(1.0, max(0.0, share)):.3f} {text}", flush=True)

    yield write


def parse_line(line: str) -> tuple[float, str] | None:
    """Return (share, text) of a progress line, None of any other."""
    match = _LINE.match(line)
    return (float(match["share"]), match["text"]) if match else None


def bar() -> Progress:
    """Return the bar every door draws: stage, bar, percent, time left, text."""
    return Progress(
        TextColumn("{task.description:<15}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[text]}", markup=False),
    )

"""Progress of a long stage, for whoever watches: a person's terminal, a log, or the flow.

On a terminal it is a live bar. Elsewhere it is a line ``progress SHARE TEXT`` (SHARE from 0
to 1), which a person can read in a log and the flow turns back into a bar.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

_LINE = re.compile(r"^progress (?P<share>[01]\.\d{3}) (?P<text>.*)$")
_SECONDS_BETWEEN_LINES = 0.5
_LEAST_SHARE, _LEAST_SECONDS = 0.01, 2.0  # done, before the time left is told
_SURE_SHARE = 0.1  # done, from which on nothing else is asked for the time left


class Report(Protocol):
    """Tell the share done (0 to 1) and what is being done."""

    def __call__(self, share: float, text: str) -> None:
        """Show `share` and `text`."""


@contextmanager
def progress(stage: str) -> Iterator[Report]:
    """Yield a `Report` that draws a bar on a terminal and prints lines elsewhere."""
    if sys.stdout.isatty():
        with bar() as display:
            task = display.add_task(stage, total=1.0, left="", text="")
            clock = Clock()

            def draw(share: float, text: str) -> None:
                left = in_words(clock.left(share))
                display.update(task, completed=share, left=left, text=text)

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


class Clock:
    """Tells the time left of a stage from its beginning: elapsed over share done.

    The slow parts between two ticks (an evaluation, a compilation) are so counted in, where the
    speed of the last few ticks leaves them out. Imports and the like weigh too much at first: until
    a tenth is done, what the stage was expected to take counts too, less and less.

    Args:
        expected: seconds of the whole stage; None where nobody knows.
        now: the time in seconds.
    """

    def __init__(
        self, expected: float | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._expected, self._now, self._started = expected, now, now()

    def left(self, share: float) -> float | None:
        """Return the seconds left, or None while too little is done to tell."""
        elapsed, share = self._now() - self._started, min(1.0, share)
        if share < _LEAST_SHARE or elapsed < _LEAST_SECONDS:
            return None if self._expected is None else self._expected * (1 - share)
        seen = 1.0 if self._expected is None else min(1.0, share / _SURE_SHARE)
        whole = seen * elapsed / share + (1 - seen) * (self._expected or 0.0)
        return whole * (1 - share)


def part(report: Report, first: float, last: float) -> Report:
    """Return a `Report` whose 0 to 1 are ``first`` to ``last`` of another."""

    def scaled(share: float, text: str) -> None:
        report(first + (last - first) * min(1.0, max(0.0, share)), text)

    return scaled


def in_words(seconds: float | None) -> str:
    """Return ``about 4 min left``; nothing where the time is not known."""
    if seconds is None:
        return ""
    if seconds < 60:
        return "less than 1 min left"
    if seconds < 100 * 60:
        return f"about {seconds / 60:.0f} min left"
    return f"about {seconds / 3600:.1f} h left"


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
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.fields[text]}", markup=False),
    )

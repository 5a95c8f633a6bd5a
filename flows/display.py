"""What a person at the terminal sees of a stage: a live bar, its lines, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console

from flows.durations import Place
from tasks.contracts.progress import Clock, bar, in_words

SECONDS_BETWEEN_LINES = 10.0


class Display(Protocol):
    """Shows one stage at work."""

    def line(self, text: str) -> None:
        """Show a line that the stage printed."""

    def share(self, done: float, text: str) -> None:
        """Show the share done (0 to 1) and what is being done."""


class _Lines:
    """For a log: lines as they come, progress now and then."""

    def __init__(self, console: Console, stage: str, place: Place) -> None:
        self._console, self._stage, self._place = console, stage, place
        self._last, self._clock = time.monotonic(), Clock(place.own_seconds)

    def line(self, text: str) -> None:
        self._console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)

    def share(self, done: float, text: str) -> None:
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            left = told_left(self._place, self._clock.left(done))
            self.line(f"{self._stage} {done:4.0%} {text} ({left})")


class _Bar:
    """For a terminal: a bar that moves, with the lines above it."""

    def __init__(self, console: Console, stage: str, place: Place) -> None:
        self.progress, self._place = bar(), place
        self._clock = Clock(place.own_seconds)
        self.progress.live.console = console
        self.progress.live.transient = True  # the line that tells how it ended replaces it
        left = told_left(place, place.own_seconds)
        self._task = self.progress.add_task(stage, total=1.0, left=left, text="")

    def line(self, text: str) -> None:
        self.progress.console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)

    def share(self, done: float, text: str) -> None:
        left = told_left(self._place, self._clock.left(done))
        self.progress.update(self._task, completed=done, left=left, text=text)


def told_left(place: Place, seconds: float | None) -> str:
    """Return ``stage 3 of 8, about 4 min left``: of the line, or else of this stage alone."""
    where = f"stage {place.number} of {place.of}"
    if seconds is None:
        return where
    if place.later_seconds is None:
        return f"{where}, {in_words(seconds)} in it"
    return f"{where}, {in_words(seconds + place.later_seconds)}"


@contextmanager
def display(stage: str, console: Console, place: Place) -> Iterator[Display]:
    """Yield what shows the stage: a bar on a terminal, lines elsewhere."""
    if not console.is_terminal:
        yield _Lines(console, stage, place)
        return
    moving = _Bar(console, stage, place)
    with moving.progress:
        yield moving


def ended(console: Console, stage: str, state: str, seconds: float) -> None:
    """Show in one line how a stage ended."""
    colour = {"failed": "red", "stalled": "red", "done": "green"}.get(state, "dim")
    console.print(
        f"{stage:<15} [{colour}]{state:<9}[/] {seconds:7.1f} s", highlight=False, soft_wrap=True
    )

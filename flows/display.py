"""What a person at the terminal sees of a stage: a live bar, its lines, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console

from tasks.contracts.progress import bar

SECONDS_BETWEEN_LINES = 10.0


class Display(Protocol):
    """Shows one stage at work."""

    def line(self, text: str) -> None:
        """Show a line that the stage printed."""

    def share(self, done: float, text: str) -> None:
        """Show the share done (0 to 1) and what is being done."""


class _Lines:
    """For a log: lines as they come, progress now and then."""

    def __init__(self, console: Console, stage: str) -> None:
        self._console, self._stage = console, stage
        self._last = time.monotonic()

    def line(self, text: str) -> None:
        self._console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)

    def share(self, done: float, text: str) -> None:
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES:
            self._last = now
            self.line(f"{self._stage} {done:4.0%} {text}")


class _Bar:
    """For a terminal: a bar that moves, with the lines above it."""

    def __init__(self, console: Console, stage: str) -> None:
        self.progress = bar()
        self.progress.live.console = console
        self.progress.live.transient = True  # the line that tells how it ended replaces it
        self._task = self.progress.add_task(stage, total=1.0, text="")

    def line(self, text: str) -> None:
        self.progress.console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)

    def share(self, done: float, text: str) -> None:
        self.progress.update(self._task, completed=done, text=text)


@contextmanager
def display(stage: str, console: Console) -> Iterator[Display]:
    """Yield what shows the stage: a bar on a terminal, lines elsewhere."""
    if not console.is_terminal:
        yield _Lines(console, stage)
        return
    moving = _Bar(console, stage)
    with moving.progress:
        yield moving


def ended(console: Console, stage: str, state: str, seconds: float) -> None:
    """Show in one line how a stage ended."""
    colour = {"failed": "red", "done": "green"}.get(state, "dim")
    console.print(
        f"{stage:<15} [{colour}]{state:<9}[/] {seconds:7.1f} s", highlight=False, soft_wrap=True
    )

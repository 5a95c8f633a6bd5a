"""The answer of ``reports/lift.json`` where it is shown."""

from __future__ import annotations

from pathlib import Path

from tasks.answer import words
from tasks.lift.result import LiftResult

LIFT = Path("reports/lift.json")
PAGE = Path("reports/lift.html")
COLOURS = {"helps": "green", "hurts": "red", "inconclusive": "yellow"}


def lines(result: LiftResult) -> list[str]:
    """Return what a person has to know first, a line each."""
    worth = [f"worth {words.worth(result.worth)}"] if result.worth else []
    return [words.headline(result), words.against(result), *worth, words.detectable(result)]


def short(result: LiftResult) -> str:
    """Return the answer as the name of a run has it: ``inconclusive −0.2 points``."""
    return f"{result.verdict} {words.signed(result.lift_pp.mean)} {words.unit(result)}"

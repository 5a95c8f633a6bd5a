"""The answer of ``reports/lift.json`` where it is shown."""

from __future__ import annotations

from pathlib import Path

from tasks.adapters.timeline import ResultRun
from tasks.adapters.tracking.lineage import plain
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


def markdown(result: LiftResult, page: Path = PAGE, run: ResultRun | None = None) -> str:
    """Return the answer as Prefect's page shows it, with the ways to all of it.

    Args:
        result: the content of ``lift.json``.
        page: its report.
        run: of MLflow that holds it; None where MLflow does not tell.
    """
    told = "".join(f"- {plain(line)}\n" for line in lines(result))
    meaning = words.MEANING[result.verdict]
    ways = f"The whole report: `{page}`."
    if run:
        ways += f"\n\nIn MLflow: [run {run.short_id}]({run.page})"
        ways += ", while `ganlift ui` serves it." if run.is_local else "."
    return f"# {result.verdict}: {meaning}\n\n{told}\n{ways}"

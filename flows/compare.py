"""``ganlift compare``: the results of several runs, at the terminal and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tasks.adapters.comparison import Comparison, compare, render
from tasks.adapters.tracking.past_runs import past_runs

PAGE = Path("reports/compare.html")
_COLOURS = {"helps": "green", "hurts": "red"}


def compare_runs(wanted: Sequence[str]) -> None:
    """Show runs side by side and write `PAGE`.

    Raises:
        UserError: as `past_runs`.
    """
    comparison = compare(past_runs(wanted))
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(render(comparison), encoding="utf-8")
    console = Console(highlight=False)
    console.print(_table(comparison))
    for warning in comparison.warnings:
        console.print(f"[yellow]warning[/] {escape(warning)}")
    console.print(f"{comparison.same_params} other params are the same. Page: {PAGE}")


def _table(comparison: Comparison) -> Table:
    table = Table(show_lines=False)
    table.add_column("", overflow="fold")
    for run in comparison.runs:
        colour = _COLOURS.get(run.lift["verdict"], "yellow")
        table.add_column(f"[{colour}]{escape(run.short_id)}[/]", overflow="fold")
    for title, rows in comparison.sections.items():
        table.add_section()
        table.add_row(f"[bold]{escape(title)}[/]")
        for row in rows:
            style = "bold" if row.differs else "dim"
            table.add_row(escape(row.name), *map(escape, row.cells), style=style)
    return table

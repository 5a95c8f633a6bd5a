"""``ganlift compare``: the results of several runs, at the terminal and on a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.verdict import COLOURS
from tasks.adapters.comparison import SideBySide, compare, render
from tasks.adapters.tracking.past_runs import past_runs
from tasks.contracts.outputs import published

PAGE = Path("reports/compare.html")


def compare_runs(wanted: Sequence[str]) -> None:
    """Show runs side by side and write `PAGE`.

    Raises:
        UserError: as `past_runs`, or another file stands in the page's place.
    """
    found = compare(past_runs(wanted))
    with published("compare", {"page": PAGE}) as aside:
        aside["page"].write_text(render(found), encoding="utf-8")
    console = Console(highlight=False)
    console.print(_table(found))
    for warning in found.warnings:
        console.print(f"[yellow]warning[/] {escape(warning)}")
    console.print(f"{found.same_params} other params are the same. Page: {PAGE}")


def _table(found: SideBySide) -> Table:
    table = Table(show_lines=False)
    table.add_column("", overflow="fold")
    for run in found.runs:
        table.add_column(f"[{COLOURS[run.lift.verdict]}]{escape(run.short_id)}[/]", overflow="fold")
    for title, rows in found.sections.items():
        table.add_section()
        table.add_row(f"[bold]{escape(title)}[/]")
        for row in rows:
            style = "bold" if row.differs else "dim"
            table.add_row(escape(row.name), *map(escape, row.cells), style=style)
    return table

"""``ganlift history``: the results of a data set over time, at the terminal and on a page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.nights import noted_failures, noted_nights
from flows.verdict import COLOURS
from tasks.adapters.history import render
from tasks.adapters.timeline import MINUTE, Failed, Quiet, Row, timeline
from tasks.adapters.tracking.history import logged_results
from tasks.contracts.errors import UserError
from tasks.contracts.params.line import load_params

_OWN = '<meta name="generator" content="ganlift history">'  # in the head of each page
_INTERVAL = 15  # characters that hold an interval on one line, below its lift
_HEAD = 1000  # bytes of a file that are looked through for it


def show_history(root: Path, page: Path | None) -> None:
    """Show every result of the project's data set, and write a page where one is wanted.

    Args:
        root: of the project, the working folder.
        page: HTML file to write, over an earlier history alone.

    Raises:
        UserError: no result is logged, the store cannot be reached, or something else stands in
            the page's place.
    """
    if page is not None:
        _refuse_foreign(page)
    source = load_params(root / "params.yaml").ingest.source
    results = logged_results(source)
    if not results:
        raise UserError(
            source,
            "MLflow holds no result of this data set",
            "Run `ganlift run` first, or `ganlift track` where its results were not logged",
        )
    console = Console(highlight=False)
    rows = timeline(results, noted_nights(root), noted_failures(root, source))
    console.print(_table(rows))
    if page is not None:
        beside = page.with_name(f".{page.name}-{os.getpid()}")
        beside.write_text(render(source, results, rows), encoding="utf-8")
        beside.replace(page)
        console.print(f"Page: {page}", markup=False)


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for name in ("ended", "run", "verdict"):
        table.add_column(name, no_wrap=True)
    table.add_column("lift", min_width=_INTERVAL, overflow="fold")
    table.add_column("images", no_wrap=True)
    table.add_column("notes", min_width=len("champion"))
    for row in rows:
        if isinstance(row, Quiet):
            last, times = row.nights[-1].ended, _times(len(row.nights))
            table.add_row(f"{last:{MINUTE}}", "", "", f"nothing new, {times}", style="dim")
            continue
        if isinstance(row, Failed):
            newest, times = row.failures[-1], _times(len(row.failures))
            why = f"{times}: {escape(newest.line)}"
            table.add_row(f"{newest.ended:{MINUTE}}", "", "[red]failed[/]", why)
            continue
        verdict = row.of.verdict
        colour = COLOURS.get(verdict, "default")
        table.add_row(
            row.ended,
            row.of.short_id,
            f"[{colour}]{escape(verdict)}[/]",
            escape(row.lift),
            row.images,
            escape(row.notes),
        )
    return table


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _refuse_foreign(page: Path) -> None:
    if not page.parent.is_dir():
        raise UserError(f"--html {page}", "its folder does not exist", "Make the folder first")
    if not page.exists():
        return
    if not page.is_file() or _OWN.encode() not in page.read_bytes()[:_HEAD]:
        raise UserError(
            f"--html {page}",
            "something stands there that `ganlift history` did not write",
            "Name another file, or move this away; nothing was touched",
        )

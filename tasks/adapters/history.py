"""The results of a data set over time: the picture of their lift, and the page."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from pathlib import Path

from matplotlib.ticker import NullLocator

from tasks.adapters.timeline import LoggedResult, Row
from tasks.answer import words
from tasks.answer.drawing import BLACK, GREEN, GREY, SLATE, VERMILION, picture, spread_out
from tasks.answer.page import TEMPLATES
from tasks.contracts.pages import templates
from tasks.lift.result import LiftResult

_MOST_DATES = 10  # below the picture
_AT_EASE = 60  # runs, beyond which marks become smaller
_MARKS = {"helps": ("^", GREEN), "hurts": ("v", VERMILION), "inconclusive": ("o", GREY)}


def drawn(results: Sequence[LoggedResult]) -> list[tuple[LoggedResult, LiftResult]]:
    """Return the results that share a scale with the newest, whose lift can be read."""
    found = [(one, one.lift) for one in results if one.lift]
    return [(one, lift) for one, lift in found if lift.metric_name == found[-1][1].metric_name]


def draw_lift_over_time(results: Sequence[LoggedResult], path: Path) -> None:
    """Draw the lifts with their intervals by run, oldest first.

    Args:
        results: oldest first, at least one of them `drawn`.
        path: PNG to write.
    """
    shown = drawn(results)
    newest = shown[-1][1]
    smallest = newest.rule.smallest_lift_pp
    size = max(0.4, min(1.0, _AT_EASE / len(shown)))
    with picture(path, 9.6, 4.2) as figure:
        axes = figure.subplots()
        axes.axhspan(-smallest, smallest, color="#f2f3f5", zorder=-1, linewidth=0)
        axes.axhline(0.0, color=BLACK, linewidth=0.9, zorder=0.8)
        for place, (one, lift) in enumerate(shown):
            (marker, colour), found = _MARKS[lift.verdict], lift.lift_pp
            ends = [found.ci_low, found.ci_high]
            wide = 2.4 * size
            axes.plot(  # a round end would reach over 0 where the interval does not
                [place, place], ends, color=colour, linewidth=wide, solid_capstyle="butt"
            )
            axes.plot(
                [place],
                [found.mean],
                marker,
                color=colour,
                markeredgecolor="white",
                markeredgewidth=size,
                markersize=8 * size,
            )
            if one.champion:
                axes.annotate(
                    "champion",
                    (place, found.ci_high),
                    xytext=(0, 5),
                    textcoords="offset points",
                    ha="center",
                    color=SLATE,
                    fontsize=9,
                    fontweight="bold",
                )
        for verdict, (marker, colour) in _MARKS.items():
            axes.plot([], [], marker, color=colour, label=verdict)
        dated = spread_out(len(shown), _MOST_DATES)
        axes.set_xticks(dated, [f"{shown[place][0].ended:%-d %b\n%Y}" for place in dated])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(visible=False, axis="x")
        axes.set_xlim(-0.6, len(shown) - 0.4)
        axes.set_xlabel("runs in their order")
        axes.set_ylabel(words.unit(newest))
        axes.set_title(f"Lift by run, with its {words.level(newest)} confidence interval")
        figure.legend(loc="outside lower left", fontsize=9, ncols=3, handlelength=1.2)


def render(data_set: str, results: Sequence[LoggedResult], rows: Sequence[Row]) -> str:
    """Return the history as one HTML file; all text from data is escaped.

    Args:
        data_set: its name.
        results: oldest first, at least one.
        rows: of the table, the results among them.
    """
    shown, image = drawn(results), ""
    if shown:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "lift_over_time.png"
            draw_lift_over_time(results, path)
            image = base64.b64encode(path.read_bytes()).decode()
    page = templates(Path(__file__).parent, TEMPLATES).get_template("history.html.j2")
    return page.render(
        data_set=data_set,
        rows=rows,
        results=len(results),
        newest=shown[-1][1] if shown else None,
        not_drawn=len(results) - len(shown),
        image=image,
        words=words,
    )

"""How every picture looks, and how it is written so that equal content gives equal bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib import font_manager, ft2font, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe & Ito 2008, "Color Universal Design": told apart under every common colour blindness.
BLACK, SLATE, GREY = "#1b1b1b", "#4a4f57", "#8a8f98"
ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
LINES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)  # of things that differ by name alone
MARKERS = ("o", "s", "^", "D", "v", "P")
_LONGEST_NAME, _LONGEST_METRIC = 26, 48
_STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": 10,
    "text.color": BLACK,
    "text.parse_math": False,  # a class may be called "$5"
    "axes.edgecolor": "#c9ccd1",
    "axes.labelcolor": SLATE,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#eceef1",
    "xtick.color": SLATE,
    "ytick.color": SLATE,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@contextmanager
def picture(path: Path, width: float, height: float) -> Iterator[Figure]:
    """Yield a white figure of width x height inches and write it as PNG at 160 dots an inch.

    The file holds no software version and no time, so equal content gives equal bytes.
    """
    with style.context(["default", _STYLE]):  # not what a matplotlibrc says
        figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="png", metadata={"Software": None})


def drawable(name: str, label: int) -> str:
    """Return a class name as a picture can show it.

    Names are cut to 26 characters. One with letters that the font lacks becomes
    ``class LABEL``; the page beside the picture shows it in full.
    """
    flat = " ".join(name.split())
    if not flat or not all(ord(letter) in _letters() for letter in flat):
        return f"class {label}"
    return flat if len(flat) <= _LONGEST_NAME else flat[: _LONGEST_NAME - 1] + "…"


def metric_title(name: str) -> str:
    """Return a metric's name as the title of a picture, which may hold a class of any letters."""
    fits = len(name) <= _LONGEST_METRIC and all(ord(letter) in _letters() for letter in name)
    shown = name if fits else "primary metric"
    return shown[0].upper() + shown[1:]


def scale_of(metric: str) -> tuple[float, str]:
    """Return what a metric's values are multiplied with to be shown, and their unit then."""
    return (1.0, "nats, lower is better") if metric == "log_loss" else (100.0, "%")


def rows_axis(axes: Axes, names: Sequence[str]) -> None:
    """Make y a list of names from the top down, without lines across."""
    axes.set_yticks(range(len(names)), list(names))
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def spread_out(count: int, most: int) -> list[int]:
    """Return at most ``most`` of the numbers 0 to count-1, evenly spread."""
    if count <= most:
        return list(range(count))
    return [round(step * (count - 1) / (most - 1)) for step in range(most)]


@cache
def _letters() -> frozenset[int]:
    """Code points that the font can draw."""
    return frozenset(ft2font.FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap())

"""Pictures of the result: lift by arm and lift by class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tasks.contracts.arms import NON_SYNTHETIC, SYNTHETIC_ONLY, fraction_of
from tasks.lift.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    SLATE,
    VERMILION,
    drawable,
    metric_title,
    picture,
    rows_axis,
    scale_of,
)
from tasks.lift.verdict import signed

MOST_CLASSES = 30  # shown in a picture; the table of the page has all


def shown_arms(lift: Mapping[str, Any]) -> list[str]:
    """Return the arms of tables and pictures; the fractions belong to the curve."""
    return [arm for arm in lift["arms"] if fraction_of(arm) is None]


def draw_lift_by_arm(lift: Mapping[str, Any], path: Path) -> None:
    """Draw each arm's primary metric with its runs, and its lift over the baseline.

    Args:
        lift: content of ``lift.json``.
        path: PNG to write.
    """
    arms, metric = shown_arms(lift), lift["primary_metric"]
    factor, unit = scale_of(metric)
    with picture(path, 9.6, 1.5 + 0.46 * len(arms)) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.15, 1))
        for row, arm in enumerate(arms):
            colour = _arm_colour(arm, lift)
            result = lift["arms"][arm][metric]
            values = factor * np.asarray(result["values"])
            offsets = np.linspace(-0.16, 0.16, len(values))
            left.scatter(values, row + offsets, s=15, color=colour, alpha=0.55, linewidth=0)
            _whisker(left, row, {key: factor * result[key] for key in _ENDS}, colour)
            if arm != lift["baseline"]:
                points = lift["arm_lift_pp"][arm]
                _whisker(right, row, points, colour)
                _label(right, row, points, colour)
        base = lift["arms"][lift["baseline"]][metric]["mean"]
        left.axvline(factor * base, color=GREY, linewidth=0.8, linestyle=(0, (3, 3)), zorder=0.8)
        right.annotate(
            "baseline",
            (0.0, arms.index(lift["baseline"])),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=SLATE,
        )
        _zero_line(right, lift["rule"]["smallest_lift_pp"])
        decimals = "{:.3f}" if metric == "log_loss" else "{:.1f}"
        found = {arm: lift["arms"][arm][metric] for arm in arms}
        _focus(left, lift, found, factor, decimals.format)
        nothing = dict.fromkeys(_ENDS, 0.0)
        _focus(right, lift, {arm: lift["arm_lift_pp"].get(arm, nothing) for arm in arms}, 1.0)
        rows_axis(left, arms)
        _divide(left, right, arms)
        right.spines["left"].set_visible(False)
        right.grid(visible=False, axis="y")
        for text in left.get_yticklabels():
            if text.get_text() in (lift["treatment"], lift["baseline"]):
                text.set(fontweight="bold", color=BLACK)
        left.set_title(f"{metric_title(lift['metric_name'])} on the test images")
        left.set_xlabel(unit)
        right.set_title("Lift over the baseline")
        right.set_xlabel(lift["unit"])


def draw_per_class_lift(lift: Mapping[str, Any], path: Path) -> None:
    """Draw the lift in recall of each class; past 30 classes the 15 worst and 15 best.

    Args:
        lift: content of ``lift.json``.
        path: PNG to write.
    """
    labels = {name: label for label, name in enumerate(lift["per_class"])}
    names = shown_classes(lift)
    with picture(path, 6.4, 1.3 + 0.27 * len(names)) as figure:
        axes = figure.subplots()
        for row, name in enumerate(names):
            result = lift["per_class"][name]
            points = result["lift_pp"]
            above, below = points["ci_low"] > 0, points["ci_high"] < 0
            _whisker(
                axes,
                row,
                points,
                GREEN if above else VERMILION if below else GREY,
                marker="D" if result["rare"] else "o",
            )
        axes.axvline(0.0, color=BLACK, linewidth=0.9, zorder=0.8)
        shown = [
            drawable(name, labels[name]) + (" (rare)" if lift["per_class"][name]["rare"] else "")
            for name in names
        ]
        rows_axis(axes, shown)
        axes.set_title("Lift in recall by class")
        axes.set_xlabel("percentage points")


def shown_classes(lift: Mapping[str, Any]) -> list[str]:
    """Return the classes of the picture, best lift first: all, or the ends of the order."""
    by_lift = sorted(lift["per_class"], key=lambda c: -lift["per_class"][c]["lift_pp"]["mean"])
    if len(by_lift) <= MOST_CLASSES:
        return by_lift
    half = MOST_CLASSES // 2
    return by_lift[:half] + by_lift[-half:]


_ENDS = ("mean", "ci_low", "ci_high")


def _whisker(
    axes: Axes, row: int, points: Mapping[str, float], colour: str, marker: str = "o"
) -> None:
    axes.plot(
        [points["ci_low"], points["ci_high"]],
        [row, row],
        color=colour,
        linewidth=2.4,
        solid_capstyle="round",
    )
    axes.plot(
        [points["mean"]],
        [row],
        marker=marker,
        markersize=7,
        color=colour,
        markeredgecolor="white",
        markeredgewidth=1.2,
    )


def _focus(
    axes: Axes,
    lift: Mapping[str, Any],
    results: Mapping[str, Mapping[str, float]],
    factor: float,
    show: Callable[[float], str] = signed,
) -> None:
    """Scale x to the arms that bear on the verdict; one beyond the edge becomes an arrow."""
    # Without a real image in it an arm is often so far below that it would hide the rest.
    far = {SYNTHETIC_ONLY} - {lift["baseline"], lift["treatment"]}
    near = [result for arm, result in results.items() if arm not in far]
    low = factor * min(result["ci_low"] for result in near)
    high = factor * max(result["ci_high"] for result in near)
    margin = 0.12 * (high - low) or 1.0
    axes.set_xlim(low - margin, high + margin)
    for row, result in enumerate(results.values()):
        mean = factor * result["mean"]
        if not low - margin <= mean <= high + margin:
            below = mean < low
            axes.annotate(
                f"◀ {show(mean)}" if below else f"{show(mean)} ▶",
                (0.01 if below else 0.99, row),
                xycoords=axes.get_yaxis_transform(),
                va="center",
                ha="left" if below else "right",
                color=SLATE,
                fontsize=9,
                fontweight="bold",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )


def _divide(left: Axes, right: Axes, arms: list[str]) -> None:
    """Draw a line between the arms without GAN images and those with them."""
    without = sum(arm in NON_SYNTHETIC for arm in arms)
    if 0 < without < len(arms):
        for axes in (left, right):
            axes.axhline(without - 0.5, color="#c9ccd1", linewidth=0.8, zorder=0.5)


def _label(axes: Axes, row: int, points: Mapping[str, float], colour: str) -> None:
    axes.annotate(
        signed(points["mean"]),
        (points["mean"], row),
        xytext=(0, 7),
        textcoords="offset points",
        ha="center",
        color=SLATE if colour == GREY else colour,
        fontsize=9,
        fontweight="bold",
        annotation_clip=True,
    )


def _zero_line(axes: Axes, smallest_lift_pp: float) -> None:
    axes.axvline(0.0, color=BLACK, linewidth=0.9, zorder=0.8)
    axes.axvspan(-smallest_lift_pp, smallest_lift_pp, color="#f2f3f5", zorder=-1, linewidth=0)


def _arm_colour(arm: str, lift: Mapping[str, Any]) -> str:
    """Return a colour by the part an arm plays; the names beside it say the same."""
    if arm == lift["treatment"]:
        return BLUE
    return ORANGE if arm == lift["baseline"] else GREY

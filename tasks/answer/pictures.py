"""Pictures of the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from tasks.answer.drawing import (
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
from tasks.answer.words import Bounded, signed, unit, value
from tasks.contracts.arms import NON_SYNTHETIC, SYNTHETIC_ONLY
from tasks.lift.parts import Estimate, Worth
from tasks.lift.result import LiftResult

MOST_CLASSES = 30  # shown in a picture; the table of the page has all
_BASELINE = Estimate(mean=0.0, ci_low=0.0, ci_high=0.0)
_ABOVE = 16  # points between axes and title, where the floors are named


def draw_lift_by_arm(result: LiftResult, path: Path) -> None:
    """Draw each arm's primary metric with its runs, and its lift over the baseline.

    Args:
        result: of the whole run.
        path: PNG to write.
    """
    arms, metric = list(result.arms), result.primary_metric
    factor, axis = scale_of(metric)
    with picture(path, 9.6, 1.5 + 0.46 * len(arms)) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.15, 1))
        for row, arm in enumerate(arms):
            colour = _arm_colour(arm, result)
            found = result.primary(arm)
            values = factor * np.asarray(found.values)
            offsets = np.linspace(-0.16, 0.16, len(values))
            left.scatter(values, row + offsets, s=15, color=colour, alpha=0.55, linewidth=0)
            _whisker(left, row, found, colour, factor=factor)
            if arm != result.baseline:
                _whisker(right, row, result.arm_lift_pp[arm], colour)
                _label(right, row, result.arm_lift_pp[arm].mean, colour)
        base = result.primary(result.baseline).mean
        left.axvline(factor * base, color=GREY, linewidth=0.8, linestyle=(0, (3, 3)), zorder=0.8)
        right.annotate(
            "baseline",
            (0.0, arms.index(result.baseline)),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=SLATE,
        )
        smallest = result.rule.smallest_lift_pp
        right.axvline(0.0, color=BLACK, linewidth=0.9, zorder=0.8)
        right.axvspan(-smallest, smallest, color="#f2f3f5", zorder=-1, linewidth=0)
        _focus(
            left,
            result,
            {arm: result.primary(arm) for arm in arms},
            factor,
            lambda shown: value(shown / factor, metric).partition(" ")[0],
        )
        _floors(left, result, factor)
        _focus(right, result, {arm: result.arm_lift_pp.get(arm, _BASELINE) for arm in arms}, 1.0)
        rows_axis(left, arms)
        without = sum(arm in NON_SYNTHETIC for arm in arms)
        if 0 < without < len(arms):  # a line between the arms without GAN images and those with
            for axes in (left, right):
                axes.axhline(without - 0.5, color="#c9ccd1", linewidth=0.8, zorder=0.5)
        right.spines["left"].set_visible(False)
        right.grid(visible=False, axis="y")
        for text in left.get_yticklabels():
            if text.get_text() in (result.treatment, result.baseline):
                text.set(fontweight="bold", color=BLACK)
        left.set_title(f"{metric_title(result.metric_name)} on the test images", pad=_ABOVE)
        left.set_xlabel(axis)
        right.set_title("Lift over the baseline", pad=_ABOVE)
        right.set_xlabel(unit(result))


def draw_per_class_lift(result: LiftResult, path: Path) -> None:
    """Draw the lift in recall of each class; past 30 classes the 15 worst and 15 best.

    Args:
        result: of the whole run.
        path: PNG to write.
    """
    labels = {name: label for label, name in enumerate(result.per_class)}
    names = shown_classes(result)
    with picture(path, 6.4, 1.3 + 0.27 * len(names)) as figure:
        axes = figure.subplots()
        for row, name in enumerate(names):
            found = result.per_class[name]
            above, below = found.lift_pp.ci_low > 0, found.lift_pp.ci_high < 0
            colour = GREEN if above else VERMILION if below else GREY
            _whisker(axes, row, found.lift_pp, colour, marker="D" if found.rare else "o")
        axes.axvline(0.0, color=BLACK, linewidth=0.9, zorder=0.8)
        shown = [
            drawable(name, labels[name]) + (" (rare)" if result.per_class[name].rare else "")
            for name in names
        ]
        rows_axis(axes, shown)
        axes.set_title("Lift in recall by class")
        axes.set_xlabel("points")


def shown_classes(result: LiftResult) -> list[str]:
    """Return the classes of the picture, best lift first: all, or the ends of the order."""
    by_lift = sorted(result.per_class, key=lambda name: -result.per_class[name].lift_pp.mean)
    if len(by_lift) <= MOST_CLASSES:
        return by_lift
    half = MOST_CLASSES // 2
    return by_lift[:half] + by_lift[-half:]


def draw_real_curve(result: LiftResult, found: Worth, path: Path) -> None:
    """Draw `REAL` over its number of real images, and where the lift leads on that curve.

    Args:
        result: of the whole run.
        found: its ``worth``.
        path: PNG to write.
    """
    factor, axis = scale_of(result.primary_metric)
    points = sorted(found.curve, key=lambda point: point.real_images)
    images = np.array([point.real_images for point in points], dtype=np.float64)
    means, lows, highs = factor * np.array([[p.mean, p.ci_low, p.ci_high] for p in points]).T
    rising = factor * np.array([point.rising for point in points])
    level = factor * found.reached.mean
    with picture(path, 6.4, 4.2) as figure:
        axes = figure.subplots()
        axes.set_xscale("log")
        low, high = factor * found.reached.ci_low, factor * found.reached.ci_high
        axes.axhspan(low, high, color=BLUE, alpha=0.12, linewidth=0)
        axes.axhline(level, color=BLUE, linewidth=1.6)
        axes.plot(images, rising, color=ORANGE, linewidth=1.6)
        axes.errorbar(
            images,
            means,
            yerr=np.vstack([means - lows, highs - means]),
            fmt="o",
            color=ORANGE,
            markersize=7,
            markeredgecolor="white",
            elinewidth=2.4,
            label="this many real images, and nothing beside them",
        )
        axes.plot(
            [],
            [],
            color=BLUE,
            label=f"{found.have:,} real images, plus the lift of {result.treatment}",
        )
        axes.set_xlim(images[0] / 1.15, images[-1] * 1.15)
        if found.real_images is not None:
            _mark(axes, found, found.real_images, level, rises=not result.less_is_better)
        axes.xaxis.set_major_locator(FixedLocator(images.tolist()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(images, [f"{int(count):,}" for count in images])
        axes.set_xlabel("real training images (logarithmic)")
        axes.set_ylabel(axis)
        axes.set_title(f"{metric_title(result.metric_name)} by number of real images")
        figure.legend(loc="outside lower left", fontsize=9, handlelength=1.6)


def _mark(axes: Axes, found: Worth, images: int, level: float, *, rises: bool) -> None:
    """Mark where the lift meets the curve, and the interval of that number."""
    left, right = axes.get_xlim()
    low = left if found.low is None else found.low
    high = right if found.high is None else found.high
    axes.plot(
        [low, high], [level, level], color=BLACK, linewidth=4, alpha=0.55, solid_capstyle="butt"
    )
    axes.axvline(images, color=SLATE, linewidth=0.9, linestyle=(0, (3, 3)), zorder=0)
    axes.plot([images], [level], marker="D", markersize=8, color=BLACK, markeredgecolor="white")
    # Beside the curve, on the side it does not run through.
    beyond_half = images > np.sqrt(left * right)
    above = beyond_half == rises
    axes.annotate(
        f"what {images:,} real images bring",
        (images, level),
        xytext=(-9 if beyond_half else 9, 9 if above else -9),
        textcoords="offset points",
        ha="right" if beyond_half else "left",
        va="bottom" if above else "top",
        fontsize=9,
        fontweight="bold",
        color=BLACK,
    )


def _whisker(
    axes: Axes, row: int, found: Bounded, colour: str, *, marker: str = "o", factor: float = 1.0
) -> None:
    low, high = factor * found.ci_low, factor * found.ci_high
    axes.plot([low, high], [row, row], color=colour, linewidth=2.4, solid_capstyle="round")
    axes.plot(
        [factor * found.mean],
        [row],
        marker=marker,
        markersize=7,
        color=colour,
        markeredgecolor="white",
        markeredgewidth=1.2,
    )


def _focus(
    axes: Axes,
    result: LiftResult,
    found: Mapping[str, Bounded],
    factor: float,
    show: Callable[[float], str] = signed,
) -> None:
    """Scale x to the arms that bear on the verdict; one beyond the edge becomes an arrow."""
    # Without a real image in it an arm is often so far below that it would hide the rest.
    far = {SYNTHETIC_ONLY} - {result.baseline, result.treatment}
    near = [of for arm, of in found.items() if arm not in far]
    low = factor * min(of.ci_low for of in near)
    high = factor * max(of.ci_high for of in near)
    margin = 0.12 * (high - low) or 1.0
    axes.set_xlim(low - margin, high + margin)
    for row, of in enumerate(found.values()):
        mean = factor * of.mean
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


def _floors(axes: Axes, result: LiftResult, factor: float) -> None:
    """Draw what is reached without looking at an image, or an arrow to it beyond the edge."""
    low, high = axes.get_xlim()
    of, beyond = result.floors[result.primary_metric], []
    for name, level in (("guessing", of.chance), ("always the majority", of.majority)):
        if level is None:
            continue
        if low <= factor * level <= high:
            axes.axvline(factor * level, color=VERMILION, linewidth=1.3, linestyle=":", zorder=0.8)
        else:
            beyond.append(f"{name} {value(level, result.primary_metric).partition(' ')[0]}")
    if beyond:
        below = factor * of.chance < low
        said = ", ".join(beyond)
        axes.text(
            0.0 if below else 1.0,
            1.0,
            f"◀ {said}" if below else f"{said} ▶",
            transform=axes.transAxes,
            ha="left" if below else "right",
            va="bottom",
            color=VERMILION,
            fontsize=8,
        )


def _label(axes: Axes, row: int, mean: float, colour: str) -> None:
    axes.annotate(
        signed(mean),
        (mean, row),
        xytext=(0, 7),
        textcoords="offset points",
        ha="center",
        color=SLATE if colour == GREY else colour,
        fontsize=9,
        fontweight="bold",
        annotation_clip=True,
    )


def _arm_colour(arm: str, result: LiftResult) -> str:
    """Return a colour by the part an arm plays; the names beside it say the same."""
    if arm == result.treatment:
        return BLUE
    return ORANGE if arm == result.baseline else GREY

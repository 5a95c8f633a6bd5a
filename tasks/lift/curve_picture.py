"""The picture of what a lift is worth: the curve of real images, and the treatment across it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from tasks.lift.drawing import BLACK, BLUE, ORANGE, SLATE, metric_title, picture, scale_of


def draw_real_curve(lift: Mapping[str, Any], path: Path) -> None:
    """Draw `real+classical` over its number of real images, and where the treatment crosses it.

    Args:
        lift: content of ``lift.json``, whose ``worth`` is not null.
        path: PNG to write.
    """
    worth, metric = lift["worth"], lift["primary_metric"]
    factor, unit = scale_of(metric)
    points = sorted(worth["curve"], key=lambda point: point["real_images"])
    images = np.array([point["real_images"] for point in points], dtype=np.float64)
    means, lows, highs = (
        factor * np.array([point[key] for point in points]) for key in ("mean", "ci_low", "ci_high")
    )
    treated = {
        key: factor * lift["arms"][lift["treatment"]][metric][key]
        for key in ("mean", "ci_low", "ci_high")
    }
    with picture(path, 6.4, 4.2) as figure:
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.axhspan(treated["ci_low"], treated["ci_high"], color=BLUE, alpha=0.12, linewidth=0)
        axes.axhline(treated["mean"], color=BLUE, linewidth=1.6)
        axes.plot(images, means, color=ORANGE, linewidth=1.6)
        axes.errorbar(
            images,
            means,
            yerr=np.vstack([means - lows, highs - means]),
            fmt="o",
            color=ORANGE,
            markersize=7,
            markeredgecolor="white",
            elinewidth=2.4,
            label="real+classical on so many real images",
        )
        axes.plot([], [], color=BLUE, label=f"{lift['treatment']} on {worth['have']} of them")
        axes.set_xlim(images[0] / 1.15, images[-1] * 1.15)
        _mark(axes, worth, treated["mean"], rises=metric != "log_loss")
        axes.xaxis.set_major_locator(FixedLocator(images.tolist()))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(images, [f"{int(count)}" for count in images])
        axes.set_xlabel("real training images, equal ratios equally far apart")
        axes.set_ylabel(unit)
        axes.set_title(f"{metric_title(lift['metric_name'])} by number of real images")
        figure.legend(loc="outside lower left", fontsize=9, handlelength=1.6)


def _mark(axes: Axes, worth: Mapping[str, Any], level: float, *, rises: bool) -> None:
    """Mark where the treatment meets the curve, and the interval of that number."""
    if worth["real_images"] is None:
        return
    left, right = axes.get_xlim()
    low = left if worth["low"] is None else worth["low"]
    high = right if worth["high"] is None else worth["high"]
    axes.plot(
        [low, high], [level, level], color=BLACK, linewidth=4, alpha=0.55, solid_capstyle="butt"
    )
    axes.axvline(worth["real_images"], color=SLATE, linewidth=0.9, linestyle=(0, (3, 3)), zorder=0)
    axes.plot(
        [worth["real_images"]],
        [level],
        marker="D",
        markersize=8,
        color=BLACK,
        markeredgecolor="white",
    )
    # Beside the curve, on the side it does not run through.
    beyond_half = worth["real_images"] > np.sqrt(left * right)
    above = beyond_half == rises
    axes.annotate(
        f"worth {worth['real_images']} real images",
        (worth["real_images"], level),
        xytext=(-9 if beyond_half else 9, 9 if above else -9),
        textcoords="offset points",
        ha="right" if beyond_half else "left",
        va="bottom" if above else "top",
        fontsize=9,
        fontweight="bold",
        color=BLACK,
    )

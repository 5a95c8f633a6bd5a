"""Where lifts stand on the lines that the page draws with plain boxes, in % of a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.ticker import MaxNLocator

from tasks.contracts.arms import SYNTHETIC_ONLY
from tasks.lift.pictures import shown_arms
from tasks.lift.verdict import signed


def number_line(lift: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the lift, its interval, 0 and the smallest lift sit on a line, 0 to 100 %."""
    points, smallest = lift["lift_pp"], lift["rule"]["smallest_lift_pp"]
    low, high = _widened(min(points["ci_low"], -smallest), max(points["ci_high"], smallest))
    ticks = [round(float(t), 6) for t in MaxNLocator(5).tick_values(low, high) if low <= t <= high]
    digits = 0 if all(tick == round(tick) for tick in ticks) else 1
    return _places(points, smallest, low, high) | {
        "ticks": [(_place(tick, low, high), signed(tick, digits)) for tick in ticks]
    }


def arm_rails(lift: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return for every arm but the baseline where its lift sits on a line common to all.

    The line spans the arms with real images; ``beyond`` is -1 or 1 for an arm left or right of it.
    """
    lifts, smallest = lift["arm_lift_pp"], lift["rule"]["smallest_lift_pp"]
    shown = [arm for arm in shown_arms(lift) if arm in lifts]
    near = [lifts[arm] for arm in shown if arm != SYNTHETIC_ONLY] or list(lifts.values())
    low, high = _widened(
        min([-smallest, *(points["ci_low"] for points in near)]),
        max([smallest, *(points["ci_high"] for points in near)]),
    )
    return {
        arm: _places(lifts[arm], smallest, low, high)
        | {"beyond": (lifts[arm]["mean"] > high) - (lifts[arm]["mean"] < low)}
        for arm in shown
    }


def _places(
    points: Mapping[str, float], smallest: float, low: float, high: float
) -> dict[str, Any]:
    """Return where a lift stands on the line from low to high, in % of it, cut at its ends."""
    left, mean, right = (
        min(max(_place(points[key], low, high), 0.0), 100.0)
        for key in ("ci_low", "mean", "ci_high")
    )
    band = _place(-smallest, low, high)
    return {
        "zero": _place(0.0, low, high),
        "mean": mean,
        "low": left,
        "width": round(right - left, 2),
        "band": band,
        "band_width": round(_place(smallest, low, high) - band, 2),
    }


def _place(value: float, low: float, high: float) -> float:
    return round(100.0 * (value - low) / (high - low), 2)


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = 0.12 * (high - low) or 1.0
    return low - margin, high + margin

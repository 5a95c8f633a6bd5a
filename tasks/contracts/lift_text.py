"""How numbers of ``lift.json`` are said in short."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHORT = {"percentage points": "pp", "hundredths of a nat": "cnat"}


def short_unit(unit: str) -> str:
    """Return the unit of a lift as it stands behind a number: ``pp``, or ``cnat`` for log loss."""
    return _SHORT.get(unit, unit)


def worth_text(worth: Mapping[str, Any]) -> str:
    """Return what a lift is worth: ``about 40 more real images (+15 to +90)``.

    Args:
        worth: the entry of that name; what lies beyond an end of its curve is said as a bound.
    """
    have, counts = worth["have"], [point["real_images"] for point in worth["curve"]]
    if worth["beyond"] == "above":
        more = max(counts) - have
        return f"more than {more:,} more real images" if more > 0 else "more than the curve shows"
    if worth["beyond"] == "below":
        return f"less than {min(counts):,} real images, the fewest on the curve"
    more = round(worth["real_images"] - have)
    text = f"about {abs(more):,} {'more' if more >= 0 else 'fewer'} real images"
    low, high = worth["low"], worth["high"]
    if low is None or high is None:
        return text
    return f"{text} ({round(low - have):+,} to {round(high - have):+,})"

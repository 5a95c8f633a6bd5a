"""The answer of ``reports/lift.json``, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

LIFT = Path("reports/lift.json")
PAGE = Path("reports/lift.html")

MEANING = {
    "helps": "adding GAN-made images makes the classifier better",
    "hurts": "adding GAN-made images makes the classifier worse",
    "inconclusive": "no lift is shown that is worth having",
}


def interval(lift: Mapping[str, Any]) -> str:
    """Return the lift and its interval, in percentage points: ``+1.2 pp [+0.4, +2.0] at 95 %``."""
    points = lift["lift_pp"]
    low, high = points["ci_low"], points["ci_high"]
    return f"{points['mean']:+.2f} pp [{low:+.2f}, {high:+.2f}] at {points['level']:.0%}"


def markdown(lift: Mapping[str, Any]) -> str:
    """Return the answer as Prefect's page shows it."""
    return (
        f"# {lift['verdict']}\n\n{MEANING[lift['verdict']].capitalize()}.\n\n"
        f"**Lift in {lift['primary_metric']}: {interval(lift)}**\n\n"
        f"`{lift['treatment']}` against `{lift['baseline']}`. The whole report: `{PAGE}`."
    )

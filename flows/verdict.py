"""The answer of ``reports/lift.json``, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from tasks.contracts.lift_text import short_unit, worth_text

LIFT = Path("reports/lift.json")
PAGE = Path("reports/lift.html")

MEANING = {
    "helps": "adding GAN-made images makes the classifier better",
    "hurts": "adding GAN-made images makes the classifier worse",
    "inconclusive": "no lift is shown that is worth having",
}


def interval(lift: Mapping[str, Any]) -> str:
    """Return the lift and its interval: ``+1.20 pp [+0.40, +2.00] at 95%``."""
    points, unit = lift["lift_pp"], short_unit(lift["unit"])
    low, high = points["ci_low"], points["ci_high"]
    return f"{points['mean']:+.2f} {unit} [{low:+.2f}, {high:+.2f}] at {points['level']:.0%}"


def against(lift: Mapping[str, Any]) -> str:
    """Return which arms were compared, and why with this baseline."""
    strongest = lift["baseline_choice"]["rule"] == "strongest"
    why = ", the strongest arm without GAN images" if strongest else ""
    return f"{lift['treatment']} against {lift['baseline']}{why}"


def worth(lift: Mapping[str, Any]) -> str:
    """Return what it is worth in real images, and the least lift that would have been found."""
    unit = short_unit(lift["unit"])
    found = f"a lift of {lift['mde_pp']:.1f} {unit} would be found in {lift['power']:.0%} of runs"
    return f"worth {worth_text(lift['worth'])}; {found}" if lift["worth"] else found


def markdown(lift: Mapping[str, Any]) -> str:
    """Return the answer as Prefect's page shows it."""
    return (
        f"# {lift['verdict']}\n\n{MEANING[lift['verdict']].capitalize()}.\n\n"
        f"**Lift in {escape(lift['metric_name'])}: {interval(lift)}**\n\n"
        f"`{against(lift)}`. {worth(lift).capitalize()}. The whole report: `{PAGE}`."
    )

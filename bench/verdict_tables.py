"""What the verdict's calibration found, as text: rates with exact (Clopper-Pearson) intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from bench.ledger import Row
from tasks.lift.power import POWER

_LEVEL = 0.95  # of the intervals of rates
_OTHERS = {
    "filtered, repeated real images": "against_repeated",
    "unfiltered, repeated real images": "unfiltered_against_repeated",
}
_HEAD = ("mode", "runs", "helps", "hurts", "lift, pp", "half interval", "MDE, pp", "holds the mean")
_HEAD_PLANTED = ("found where promised", "power promised, %", "found, %")


def calibration_report(mode: str, rows: Sequence[Row]) -> str:
    """Return a table with a row for each pair of arms, then baselines, seconds and refusals.

    The true lift of a mode is estimated by the mean over its runs. It differs from split to split,
    which the interval of one run does not claim to cover.

    Args:
        mode: ``null`` or ``planted``.
        rows: of `VerdictRun.do`, refused ones too; older code compared fewer arms.
    """
    judged = [row for row in rows if "refused" not in row]
    planted = mode == "planted"
    lines = []
    if judged:
        pairs = {"filtered, strongest arm": judged} | {
            name: [row[key] for row in judged if key in row] for name, key in _OTHERS.items()
        }
        head = [*_HEAD, *(_HEAD_PLANTED if planted else ())]
        cells = [_cells(f"{mode}: {name}", found, planted) for name, found in pairs.items()]
        table = [head, ["---"] * len(head), *cells]
        lines = [f"| {' | '.join(line)} |" for line in table] + [""]
        baselines = Counter(row["baseline"] for row in judged).most_common()
        trained = [f"{row['recipe']} at {row['steps']} steps" for row in judged]
        settled = Counter(trained).most_common()
        seconds = np.median([sum(row["seconds"].values()) for row in judged])
        lines += [
            f"- Strongest arms: {', '.join(f'{arm} ({count})' for arm, count in baselines)}.",
            f"- Settled: {', '.join(f'{what} ({count})' for what, count in settled)}.",
            f"- A run takes {seconds:.0f} s (median).",
        ]
    reasons = Counter(row["refused"] for row in rows if "refused" in row).most_common()
    lines += [f"- Refused {count} times: {reason}" for reason, count in reasons]
    return "\n".join(lines)


def rate(hits: Sequence[bool]) -> str:
    """Return ``3 of 100 (3.0 %, 0.6 to 8.5)``."""
    if not hits:
        return "0 of 0"
    low, high = proportion_confint(sum(hits), len(hits), alpha=1 - _LEVEL, method="beta")
    share = f"{100 * sum(hits) / len(hits):.1f} %, {100 * low:.1f} to {100 * high:.1f}"
    return f"{sum(hits)} of {len(hits)} ({share})"


def promised_power(row: Row, lift: float) -> float:
    """Return the chance of “helps” at a true lift, by what a run says of its own precision.

    It is 50 % at the half interval and 80 % at the minimum detectable effect, and normal in shape.

    Args:
        row: with ``ci_low``, ``ci_high`` and ``mde_pp``.
        lift: in percentage points.
    """
    half = (row["ci_high"] - row["ci_low"]) / 2
    return float(norm.cdf(norm.ppf(POWER) * (lift - half) / (row["mde_pp"] - half)))


def _cells(name: str, found: Sequence[Row], planted: bool) -> list[str]:
    if not found:
        return [name, "0", *["–"] * (len(_HEAD) - 2 + planted * len(_HEAD_PLANTED))]
    lifts = [row["lift_pp"] for row in found]
    mean = float(np.mean(lifts))
    helps = [row["verdict"] == "helps" for row in found]
    spread = f" ± {np.std(lifts, ddof=1):.2f}" if len(lifts) > 1 else ""
    cells = [
        name,
        str(len(found)),
        rate(helps),
        rate([row["verdict"] == "hurts" for row in found]),
        f"{mean:+.2f}{spread}",
        f"{np.median([(row['ci_high'] - row['ci_low']) / 2 for row in found]):.2f}",
        f"{np.median([row['mde_pp'] for row in found]):.2f}",
        rate([row["ci_low"] <= mean <= row["ci_high"] for row in found]),
    ]
    if planted:
        promised = [row["verdict"] == "helps" for row in found if row["mde_pp"] <= mean]
        power = 100 * np.mean([promised_power(row, mean) for row in found])
        cells += [rate(promised), f"{power:.0f}", f"{100 * np.mean(helps):.0f}"]
    return cells

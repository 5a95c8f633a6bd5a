"""What the verdict's calibration found, as text: rates with exact (Clopper-Pearson) intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from bench.ledger import Row

WORDS = ("helps", "hurts", "inconclusive")
_LEVEL = 0.95  # of the intervals of rates


def calibration_report(mode: str, rows: Sequence[Row]) -> str:
    """Return the table of one mode and the sentences that its aim is checked by.

    The true lift of a mode is estimated by the mean over its runs. It differs from split to split,
    which the interval of one run does not claim to cover.

    Args:
        mode: ``null`` or ``planted``.
        rows: of `VerdictRun.do`, refused ones too.
    """
    judged = [row for row in rows if "refused" not in row]
    lines = [_counts(mode, rows, judged)]
    if judged:
        baselines = Counter(row["baseline"] for row in judged).most_common()
        lines.append(f"- Baselines: {', '.join(f'{arm} ({count})' for arm, count in baselines)}.")
        repeated = [row["against_duplicated"] for row in judged]
        for against, found in (("the strongest arm", judged), ("repeated real images", repeated)):
            mean = float(np.mean([row["lift_pp"] for row in found]))
            held = [row["ci_low"] <= mean <= row["ci_high"] for row in found]
            lines += [
                f"- Against {against}: the interval holds the mean lift of all runs, "
                f"{mean:+.2f} pp, in {rate(held)}.",
                *(_null(found) if mode == "null" else _planted(found, mean)),
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


def _counts(mode: str, rows: Sequence[Row], judged: Sequence[Row]) -> str:
    numbers = ("lift, pp", "half interval", "MDE, pp", "seconds")
    head = ["mode", "runs", "refused", *WORDS, *numbers]
    said = Counter(row["verdict"] for row in judged)
    lifts = [row["lift_pp"] for row in judged]
    spread = f"{np.mean(lifts):+.2f} ± {np.std(lifts, ddof=1):.2f}" if len(lifts) > 1 else "–"
    cells = [mode, str(len(rows)), str(len(rows) - len(judged)), *(str(said[w]) for w in WORDS)]
    cells += [
        spread,
        _median([(row["ci_high"] - row["ci_low"]) / 2 for row in judged]),
        _median([row["mde_pp"] for row in judged]),
        _median([sum(row["seconds"].values()) for row in judged]),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), cells))


def _median(values: Sequence[float]) -> str:
    return f"{np.median(values):.2f}" if values else "–"


def _null(judged: Sequence[Row]) -> list[str]:
    false = rate([row["verdict"] == "helps" for row in judged])
    return [f"  - False “helps”: {false}."]


def _planted(judged: Sequence[Row], mean: float) -> list[str]:
    promised = {
        f"the true lift, {mean:+.2f} pp": [row for row in judged if row["mde_pp"] <= mean],
        "the run’s own |lift|": [row for row in judged if row["mde_pp"] <= abs(row["lift_pp"])],
    }
    return [
        "  - “Helps” where the stated minimum detectable effect is within "
        f"{what}: {rate([row['verdict'] == 'helps' for row in chosen])}."
        for what, chosen in promised.items()
    ]

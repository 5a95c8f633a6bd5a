"""The rule that turns an interval into a word, and the words for it.

The rule is declared in ``params.yaml`` before the result is seen:
helps if the whole interval is above 0 and the mean reaches the smallest lift that matters;
hurts if the whole interval is below 0 and the mean reaches as far down; else inconclusive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.contracts.arms import (
    CLASSICAL,
    DUPLICATED,
    FILTERED,
    MIXUP,
    PSEUDO_LABELLED,
    REAL,
    SYNTHETIC_ONLY,
    UNFILTERED,
)
from tasks.lift.baseline import Baseline
from tasks.lift.intervals import Interval
from tasks.lift.metrics import Metric

Word = Literal["helps", "hurts", "inconclusive"]

_DEEDS = {
    REAL: "training on the real images as they are",
    CLASSICAL: "classical augmentation",
    DUPLICATED: "repeating real images",
    MIXUP: "mixing real images (MixUp, CutMix)",
    PSEUDO_LABELLED: "adding pseudo-labelled real images",
    UNFILTERED: "adding unfiltered GAN images",
    FILTERED: "adding filtered GAN images",
    SYNTHETIC_ONLY: "training on GAN images alone",
}
_ADDS = (UNFILTERED, FILTERED)
_ONE_GAN = (
    " All runs rest on one GAN: another one may do better or worse, and the interval does not "
    "cover that."
)


@dataclass(frozen=True)
class Verdict:
    """A word, the answer in one sentence, and what to do about it in another."""

    word: Word
    answer: str
    advice: str


def judge(lift: Interval, smallest_lift_pp: float) -> Word:
    """Apply the rule to a lift in percentage points."""
    if lift.low > 0.0 and lift.mean >= smallest_lift_pp:
        return "helps"
    if lift.high < 0.0 and lift.mean <= -smallest_lift_pp:
        return "hurts"
    return "inconclusive"


def explain(
    lift: Interval,
    *,
    treatment: str,
    baseline: Baseline,
    metric: Metric,
    level: float,
    smallest_lift_pp: float,
    gan_luck: bool,
) -> Verdict:
    """Return the verdict with its sentences.

    Args:
        lift: treatment - baseline, in the unit of the metric.
        treatment: name of the arm.
        baseline: the arm it is compared with.
        metric: the primary one.
        level: of the interval, 0.5 to 1.
        smallest_lift_pp: smallest lift that matters.
        gan_luck: the interval covers the luck of the GANs.
    """
    word = judge(lift, smallest_lift_pp)
    deed, name = _DEEDS[treatment], metric.title
    better, worse = ("improves", "worsens") if metric.factor < 0.0 else ("raises", "lowers")
    rival = _DEEDS[baseline.arm]
    if not baseline.declared:
        rival += ", the strongest training without GAN images"
    span = f"{level * 100:g} % interval {signed(lift.low)} to {signed(lift.high)}"
    points = f"{abs(lift.mean):.1f} {metric.unit} ({span})"
    end = f"against {rival}."
    doubt = _weak_rival(baseline) + ("" if gan_luck else _ONE_GAN)
    if word == "helps":
        answer = f"Yes: {deed} {better} {name} by {points}, {end}"
        return Verdict(word, answer, f"Use {treatment} in place of {baseline.arm}.{doubt}")
    if word == "hurts":
        refusal = "No, don’t add them" if treatment in _ADDS else "No"
        answer = f"{refusal}: {deed} {worse} {name} by {points}, {end}"
        return Verdict(word, answer, f"Stay with {baseline.arm}.{doubt}")
    moved = f"{deed} moved {name} by {signed(lift.mean)} {metric.unit} ({span})"
    answer = f"Not on this evidence: {moved}, {end}"
    return Verdict(word, answer, _why_not(lift, smallest_lift_pp) + doubt)


def _weak_rival(baseline: Baseline) -> str:
    """Say so where the declared baseline is not the one to beat."""
    if not baseline.declared or baseline.strongest in (None, baseline.arm):
        return ""
    return (
        f" But {baseline.arm} was declared, and without GAN images {baseline.strongest} does "
        "better on real/val: report.baseline=strongest asks whether GAN images beat that."
    )


def _why_not(lift: Interval, smallest: float) -> str:
    """Say which kind of inconclusive it is."""
    if -smallest <= lift.low and lift.high <= smallest:
        return (
            f"The whole interval lies within ±{smallest:g} points, the smallest lift that "
            "matters: practically no effect, so keep the simpler training."
        )
    if lift.low > 0.0 or lift.high < 0.0:
        way = "gain" if lift.low > 0.0 else "loss"
        return (
            f"There is a {way}, but its mean stays below the {smallest:g} points that were "
            "declared to matter."
        )
    return (
        "The interval holds 0, so chance alone could have made the difference: keep the "
        "simpler training until there is more evidence."
    )


def signed(points: float, digits: int = 1) -> str:
    """Return a number with its sign, a true minus, and no sign on zero.

    What would round to 0 gets one digit more: the end of an interval must not look like 0
    where it is not.
    """
    text = f"{abs(points):.{digits}f}"
    if float(text) == 0.0:
        text = f"{abs(points):.{digits + 1}f}"
    if float(text) == 0.0:
        return f"{0.0:.{digits}f}"
    return ("+" if points > 0 else "−") + text

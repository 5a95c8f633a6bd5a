"""The rule that turns an interval into a word, and the words for it.

The rule is declared in ``params.yaml`` before the result is seen:
helps if the whole interval is above 0 and the mean reaches the smallest lift that matters;
hurts if the whole interval is below 0 and the mean reaches as far down; else inconclusive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.lift.intervals import Interval

Word = Literal["helps", "hurts", "inconclusive"]

METRIC_NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
}
_DEEDS = {
    "real": "training on the real images as they are",
    "real+classical": "classical augmentation",
    "real+classical+control": "adding unfiltered GAN images",
    "real+classical+filtered": "adding filtered GAN images",
    "synthetic only": "training on GAN images alone",
}


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
    baseline: str,
    metric: str,
    level: float,
    smallest_lift_pp: float,
) -> Verdict:
    """Return the verdict with its sentences.

    Args:
        lift: treatment - baseline, in percentage points.
        treatment: name of the arm.
        baseline: name of the arm it is compared with.
        metric: name of the primary metric.
        level: of the interval, 0.5 to 1.
        smallest_lift_pp: smallest lift that matters.
    """
    word = judge(lift, smallest_lift_pp)
    deed = _DEEDS[treatment]
    name = METRIC_NAMES[metric]
    span = f"{level * 100:g} % interval {signed(lift.low)} to {signed(lift.high)}"
    points = f"{abs(lift.mean):.1f} percentage points ({span})"
    if word == "helps":
        return Verdict(
            word,
            f"Yes: {deed} raises {name} by {points}.",
            f"Use {treatment} in place of {baseline}.",
        )
    if word == "hurts":
        return Verdict(
            word,
            f"No, don’t add them: {deed} lowers {name} by {points}."
            if treatment.startswith("real+classical+")
            else f"No: {deed} lowers {name} by {points}.",
            f"Stay with {baseline}.",
        )
    moved = f"{deed} moved {name} by {signed(lift.mean)} percentage points ({span})"
    return Verdict(word, f"Not on this evidence: {moved}.", _why_not(lift, smallest_lift_pp))


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

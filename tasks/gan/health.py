"""Knowing when training goes wrong: divergence, collapse, and which checkpoint is the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from tasks.contracts.evaluation import GanEvaluation
from tasks.contracts.params.train_gan import Health, Rule

_LOWER_IS_BETTER = ("kid", "fid")
_SETTLED = 5  # ticks; the first ones are unlike those that follow
_STILL = 1e-8  # L2 norm of a gradient that moves nothing; healthy ones are 0.001 and more


def divergence(curves: Mapping[str, float], limits: Health) -> str | None:
    """Say why these means over a tick are those of a diverged GAN, or None.

    Non-finite values, logits beyond ``max_logit`` or gradients (L2) beyond ``max_gradient``.
    """
    for name, value in curves.items():
        if not math.isfinite(value):
            return f"{name} is no finite number"
        limit = (
            limits.max_logit
            if name.startswith("logit_")
            else limits.max_gradient
            if name.startswith("grad_norm_")
            else math.inf
        )
        if abs(value) > limit:
            return f"{name} is {value:.3g}, past {limit:g}"
    return None


def burst(
    curves: Mapping[str, float], before: Sequence[Mapping[str, float]], limits: Health
) -> str | None:
    """Say which gradient (L2, mean over a tick) broke away from those of ticks before, or None.

    That is past ``max_burst`` times their median. What follows is a discriminator that has won, and
    images that learn nothing any more. To go back and pass such a burst by is what large language
    models are trained with too (Chowdhery et al. 2022, PaLM, section 5.1).
    """
    if len(before) < _SETTLED:
        return None
    for name, value in curves.items():
        if not name.startswith("grad_norm_"):
            continue
        usual = median(tick[name] for tick in before)
        if value > limits.max_burst * usual:
            return f"{name} is {value:.3g}, where {usual:.3g} is usual"
    return None


def standstill(gradient: float) -> str | None:
    """Say why a generator whose last gradient (L2) was this learns nothing any more, or None.

    Where its tanh is saturated at every pixel of every image, or a saturating loss at every logit,
    the gradient is 0, and nothing that follows brings it back.
    """
    if gradient >= _STILL:
        return None
    return "the generator's gradient has vanished"


def collapsed_classes(evaluation: GanEvaluation, limits: Health) -> tuple[str, ...]:
    """Name the classes with diversity, spacing or coverage under ``collapse_below`` of real's.

    ``diversity`` and ``spacing`` are already ratios to real's; ``coverage`` is held against
    ``coverage_real``, what no more training images than fakes cover of the held-out ones. What
    the evaluation could not measure tells nothing.
    """
    least = limits.collapse_below

    def fell(numbers: Mapping[str, float]) -> bool:
        narrow = min(numbers.get("diversity", 1.0), numbers.get("spacing", 1.0)) < least
        return narrow or numbers.get("coverage", 1.0) < least * numbers.get("coverage_real", 0.0)

    return tuple(name for name, numbers in evaluation.by_class.items() if fell(numbers))


def is_better(rule: Rule, new: GanEvaluation, old: GanEvaluation | None) -> bool:
    """Return whether ``new`` is at least as good as ``old``; equal ones go to the later."""
    if old is None or rule == "last":
        return True
    if rule in _LOWER_IS_BETTER:
        return new.overall[rule] <= old.overall[rule]
    return new.overall[rule] >= old.overall[rule]


@dataclass
class Watch:
    """What has been seen of a run's health so far.

    Attributes:
        rollbacks: how often the run went back to its last good state.
        collapsed: classes that had collapsed at the last evaluation.
        in_a_row: evaluations in a row with more than half of the classes collapsed.
        events: one line each, for people.
    """

    limits: Health
    rollbacks: int = 0
    collapsed: tuple[str, ...] = ()
    in_a_row: int = 0
    events: list[str] = field(default_factory=list)

    @property
    def may_roll_back(self) -> bool:
        """Whether a rollback is left."""
        return self.rollbacks < self.limits.max_rollbacks

    def roll_back(self, kimg: float, reason: str) -> None:
        """Note a divergence after which the run goes back."""
        self.rollbacks += 1
        self.events.append(
            f"{kimg:g} kimg: diverged ({reason}); back to the last good state, half the "
            "learning rate, twice the r1 and r2 weights"
        )

    def evaluated(self, kimg: float, evaluation: GanEvaluation) -> bool:
        """Note an evaluation; return whether the run is hopeless and should stop."""
        self.collapsed = collapsed_classes(evaluation, self.limits)
        mostly = len(self.collapsed) > len(evaluation.by_class) / 2
        self.in_a_row = self.in_a_row + 1 if mostly else 0
        if self.in_a_row < self.limits.collapse_patience:
            return False
        self.events.append(
            f"{kimg:g} kimg: stopped, {len(self.collapsed)} of {len(evaluation.by_class)} classes "
            f"have been collapsed for {self.in_a_row} evaluations"
        )
        return True

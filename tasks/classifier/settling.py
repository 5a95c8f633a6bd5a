"""Settle recipe, steps, learning rate and weight decay on real/val, before anything is added.

Steps are doubled until the best recipe gains less than the standard error of the gain: of a
classifier that is not trained to the end, whatever shows it more images a step looks better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tasks.classifier.arms import Arm
from tasks.classifier.examples import Examples
from tasks.classifier.runs import Conditions, KeptRuns, Watch, runs_of
from tasks.classifier.scores import scores_of
from tasks.classifier.training import Schedule
from tasks.contracts.arms import REAL
from tasks.contracts.errors import UserError
from tasks.contracts.kept import Kept

USUAL = 3  # lengths that are tried before the gain ends, as most data sets have it
SEEDS = 4  # of the classifiers that settle, the first ones
_DIGITS = 6


@dataclass(frozen=True)
class Tried:
    """A recipe at a schedule, and its balanced accuracy on real/val by seed, NaN if it diverged."""

    recipe: str
    schedule: Schedule
    scores: npt.NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Return the mean over the seeds, NaN where one diverged."""
        return float(self.scores.mean())


@dataclass(frozen=True)
class Settled:
    """What every arm is trained by, and how that was found.

    Attributes:
        recipe: a key of `RECIPES`.
        schedule: steps, learning rate and weight decay.
        tried: everything that was tried, in its order.
        by: ``plateau``: twice the steps gained less than the standard error of the gain;
            ``most_steps``: the limit was reached before; ``declared``: one number of steps was
            given.
        gain: of the last doubling, in balanced accuracy, and its standard error; None without one.
    """

    recipe: str
    schedule: Schedule
    tried: Sequence[Tried]
    by: Literal["plateau", "most_steps", "declared"]
    gain: tuple[float, float] | None

    def is_chosen(self, one: Tried) -> bool:
        """Tell whether every arm is trained like this."""
        return (one.recipe, one.schedule) == (self.recipe, self.schedule)

    def content(self) -> dict[str, Any]:
        """Return it as ``retrain.json`` tells it."""
        gain, error = self.gain or (None, None)
        return {
            "recipe": self.recipe,
            "steps": self.schedule.steps,
            "learning_rate": self.schedule.learning_rate,
            "weight_decay": self.schedule.weight_decay,
            "settling": [self._row(one) for one in self.tried],
            "settled_by": self.by,
            "gain": _told(gain),
            "gain_standard_error": _told(error),
        }

    def _row(self, one: Tried) -> dict[str, Any]:
        return {
            "recipe": one.recipe,
            "steps": one.schedule.steps,
            "learning_rate": one.schedule.learning_rate,
            "weight_decay": one.schedule.weight_decay,
            "val_balanced_accuracy": _told(one.mean),
            "standard_error": _told(standard_error(one.scores)),
            "seeds": len(one.scores),
            "chosen": self.is_chosen(one),
        }


class Settling:
    """Trials of recipes without additions, judged on real/val alone.

    A recipe that is clearly behind and no longer gains is left out of longer trainings.

    The shortest training meets every pair of learning rate and weight decay until one does not
    diverge with every recipe; with that pair recipes and steps are settled, and then the pair for
    the recipe that won.

    Args:
        conditions: what runs share.
        schedule: classifier and batch size; the rest is settled.
        val: the set to choose on.
        kept: where finished runs are.
        seeds: of the classifiers, of which the first `SEEDS` try.
        watch: told what is tried.
    """

    def __init__(
        self,
        conditions: Conditions,
        schedule: Schedule,
        val: Examples,
        kept: Kept,
        *,
        seeds: Sequence[int],
        watch: Watch,
    ) -> None:
        self._conditions, self._schedule, self._val, self._kept = conditions, schedule, val, kept
        self._seeds, self._watch, self._lengths = seeds[:SEEDS], watch, tuple[int, ...]()

    def settle(
        self,
        recipes: Sequence[str],
        lengths: Sequence[int],
        learning_rates: Sequence[float],
        weight_decays: Sequence[float],
    ) -> Settled:
        """Try what is given, and choose.

        Args:
            recipes: keys of `RECIPES`.
            lengths: steps, rising.
            learning_rates: to try.
            weight_decays: to try with each.

        Raises:
            UserError: every training diverges.
        """
        self._lengths = tuple(lengths)
        rates = list(product(learning_rates, weight_decays))
        if len(recipes) == len(lengths) == len(rates) == 1:
            return Settled(recipes[0], self._at(lengths[0], rates[0]), [], "declared", None)
        tried: list[Tried] = []
        for rate in rates:
            shortest = self._try(recipes, self._at(lengths[0], rate))
            tried += shortest
            if any(np.isfinite(one.mean) for one in shortest):
                break
        else:
            raise UserError(
                f"retrain.learning_rate: {list(learning_rates)}",
                "the training diverges with each of them",
                "Give lower ones",
            )
        racing, before = list(recipes), shortest
        best, gain = best_of(shortest), None
        by: Literal["plateau", "most_steps", "declared"]
        by = "declared" if len(lengths) == 1 else "most_steps"
        for steps in lengths[1:]:
            longer = self._try(racing, replace(best.schedule, steps=steps))
            tried += longer
            gained = best_of(longer).scores - best.scores
            gain = float(gained.mean()), standard_error(gained)
            if not (gain[0] > 0.0 and gain[0] >= gain[1]):
                by = "plateau"
                break
            best = best_of(longer)
            pairs = zip(before, longer, strict=True)
            before = [one for earlier, one in pairs if not is_beaten(one, earlier, best)]
            racing = [one.recipe for one in before]
        for rate in rates:
            schedule = self._at(best.schedule.steps, rate)
            if (best.recipe, schedule) not in [(one.recipe, one.schedule) for one in tried]:
                tried += self._try([best.recipe], schedule)
        best = best_of([best, *(one for one in tried if _alike(one, best))])
        return Settled(best.recipe, best.schedule, tried, by, gain)

    def score(self, settled: Settled) -> float:
        """Return the balanced accuracy on real/val of what was settled, NaN if it diverged."""
        same = [t for t in settled.tried if settled.is_chosen(t)]
        return (same or self._try([settled.recipe], settled.schedule))[0].mean

    def _at(self, steps: int, rate: tuple[float, float]) -> Schedule:
        return replace(self._schedule, steps=steps, learning_rate=rate[0], weight_decay=rate[1])

    def _try(self, recipes: Sequence[str], schedule: Schedule) -> list[Tried]:
        runs = [
            run
            for recipe in recipes
            for run in runs_of({REAL: Arm(recipe)}, self._conditions.data, self._seeds, schedule)
        ]
        steps = schedule.steps
        shorter = sum(length for length in self._lengths if length < steps)
        all_steps = max(shorter + steps, sum(self._lengths[:USUAL]))
        results = KeptRuns(self._conditions, {"val": self._val}, self._kept).results(
            runs,
            lambda share, _: self._watch(
                (shorter + share * steps) / all_steps, f"settling: {steps} steps"
            ),
        )
        classes = len(self._conditions.data.class_names)
        scores = [
            scores_of(self._val.labels, result.said["val"], classes)["balanced_accuracy"]
            if result.said
            else np.nan
            for result in results
        ]
        by_recipe = np.array(scores).reshape(len(recipes), -1)
        return [
            Tried(recipe, schedule, own) for recipe, own in zip(recipes, by_recipe, strict=True)
        ]


def best_of(tried: Sequence[Tried]) -> Tried:
    """Return the best on real/val, the first of equals; what diverged comes last."""
    return max(tried, key=lambda one: one.mean if np.isfinite(one.mean) else -np.inf)


def is_beaten(one: Tried, before: Tried, best: Tried) -> bool:
    """Tell whether a recipe diverged, or is clearly behind the best and no longer catches up.

    It is behind by more than two standard errors of the difference, and its own last doubling
    gained less than the standard error of that gain; both are paired by seed.
    """
    if not np.isfinite(one.mean):
        return True
    behind, gained = best.scores - one.scores, one.scores - before.scores
    is_behind = behind.mean() > 2.0 * standard_error(behind)
    return bool(is_behind and gained.mean() < standard_error(gained))


def standard_error(values: npt.NDArray[np.float64]) -> float:
    """Return the standard error of the mean of values ``[S]``, S at least 2."""
    return float(values.std(ddof=1) / len(values) ** 0.5)


def _alike(one: Tried, best: Tried) -> bool:
    return (one.recipe, one.schedule.steps) == (best.recipe, best.schedule.steps)


def _told(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(value, _DIGITS)

"""Recipe and steps are settled by the rule: doubled until the gain is within its own error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks.classifier import settling as module
from tasks.classifier.augmentation import ground_of
from tasks.classifier.examples import Examples
from tasks.classifier.recipes import RECIPES
from tasks.classifier.runs import Conditions
from tasks.classifier.settling import Settled, Settling, Tried, best_of, standard_error
from tasks.classifier.training import Schedule
from tasks.classifier.training_data import TrainingData
from tasks.contracts.kept import Kept
from tests.data.fake_sets import noise_set

SCHEDULE = Schedule("small_cnn", steps=2, batch_size=8, learning_rate=0.002, weight_decay=0.01)
LENGTHS = (100, 200, 400, 800)
SPREAD = np.array([-0.01, 0.01, -0.01, 0.01])  # of the seeds, alike wherever it is added
Curves = dict[str, list[float]]


def settling(folder: Path) -> Settling:
    train, none = Examples.of(noise_set(4)), Examples.of(noise_set(4)).take(np.arange(0))
    data = TrainingData(("cat", "dog"), train, {0: train}, {0: train}, *[none] * 5)
    conditions = Conditions(data, ground_of(train), False, None, "mixed", "shared", 0)
    val, kept = Examples.of(noise_set(4, seed=1)), Kept(folder, 10**6)
    return Settling(conditions, SCHEDULE, val, kept, seeds=range(6), watch=lambda *_: None)


def settled(
    curves: Curves,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    lengths: tuple[int, ...] = LENGTHS,
    rates: tuple[float, ...] = (0.002,),
    noise: float = 0.0,
) -> Settled:
    """Settle where a recipe's accuracy at each of `LENGTHS` is known; a higher rate is better."""

    def tried(self: Settling, recipes: list[str], schedule: Schedule) -> list[Tried]:
        place, found = LENGTHS.index(schedule.steps), []
        for recipe in recipes:
            own = np.random.default_rng([place, len(recipe)]).normal(0, noise, 4)
            mean = curves[recipe][place] + schedule.learning_rate
            found.append(Tried(recipe, schedule, mean + SPREAD + own - own.mean()))
        return found

    monkeypatch.setattr(Settling, "_try", tried)
    return settling(folder).settle(list(curves), lengths, rates, [0.01])


@pytest.fixture
def choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def choose(curves: Curves, **others) -> Settled:
        return settled(curves, tmp_path, monkeypatch, **others)

    return choose


def test_a_recipe_that_needs_longer_wins_once_it_is_trained_to_the_end(choose) -> None:
    found = choose({"plain": [0.80, 0.81, 0.81, 0.81], "mixup": [0.70, 0.85, 0.90, 0.90]})
    assert (found.recipe, found.schedule.steps, found.by) == ("mixup", 400, "plateau")
    assert found.gain == pytest.approx((0.0, 0.0), abs=1e-9)
    assert len(found.tried) == 8  # the longest was tried, and is not taken


def test_a_gain_within_its_standard_error_ends_the_doubling(choose) -> None:
    curves = {"plain": [0.80, 0.81, 0.83, 0.9]}
    assert choose(curves).schedule.steps == 800
    noisy = choose(curves, noise=0.05)
    assert (noisy.schedule.steps, noisy.by) == (100, "plateau")
    gain, error = noisy.gain
    assert gain == pytest.approx(0.01)
    assert error > gain


def test_a_recipe_that_is_beaten_and_gains_no_more_is_not_trained_longer(choose) -> None:
    curves = {"plain": [0.80, 0.80, 0.80, 0.80], "mixup": [0.70, 0.75, 0.80, 0.85]}
    found = choose(curves | {"trivial": [0.82, 0.84, 0.87, 0.90]}, noise=0.001)
    at = {(one.recipe, one.schedule.steps) for one in found.tried}
    assert {steps for recipe, steps in at if recipe == "plain"} == {100, 200}
    assert {steps for recipe, steps in at if recipe == "mixup"} == set(LENGTHS)
    assert (found.recipe, found.schedule.steps) == ("trivial", 800)


def test_a_recipe_that_diverged_is_not_trained_longer(choose) -> None:
    curves = {"plain": [0.7, 0.8, 0.9, 0.9], "mixup": [0.9, np.nan, 0.9, 0.9]}
    found = choose(curves | {"trivial": [0.85, 0.95, 0.97, 0.99]}, noise=0.001)
    assert {one.schedule.steps for one in found.tried if one.recipe == "mixup"} == {100, 200}


def test_a_limit_reached_while_gaining_is_told_apart(choose) -> None:
    rising = {"plain": [0.5, 0.6, 0.7, 0.8]}
    found = choose(rising)
    assert (found.schedule.steps, found.by) == (800, "most_steps")
    one = choose(rising, lengths=(200,), rates=(0.002, 0.004))
    assert (one.schedule.steps, one.by, one.gain) == (200, "declared", None)
    fixed = choose(rising, lengths=(200,))
    assert (fixed.by, list(fixed.tried)) == ("declared", [])


def test_longer_training_that_harms_or_diverges_is_not_taken(choose) -> None:
    assert choose({"plain": [0.8, 0.7, 0.6, 0.5]}).schedule.steps == 100
    found = choose({"plain": [0.8, np.nan, np.nan, np.nan]})
    assert (found.schedule.steps, found.by) == (100, "plateau")


def test_rates_are_settled_for_the_recipe_and_steps_that_won(choose) -> None:
    found = choose(
        {"plain": [0.8, 0.8, 0.8, 0.8], "mixup": [0.7, 0.9, 0.9, 0.9]}, rates=(0.002, 0.02)
    )
    assert (found.recipe, found.schedule.steps) == ("mixup", 200)
    assert found.schedule.learning_rate == 0.02
    chosen = [row for row in found.content()["settling"] if row["chosen"]]
    assert [(row["recipe"], row["steps"], row["learning_rate"]) for row in chosen] == [
        ("mixup", 200, 0.02)
    ]
    assert [one.schedule.learning_rate for one in found.tried].count(0.02) == 1


def test_of_equals_the_first_wins_and_what_diverged_comes_last() -> None:
    scores = [np.array(own) for own in ([np.nan, 0.9], [0.4, 0.6], [0.5, 0.5])]
    tried = [Tried(name, SCHEDULE, own) for name, own in zip("abc", scores, strict=True)]
    assert best_of(tried).recipe == "b"
    assert standard_error(scores[1]) == pytest.approx(0.1)


def test_real_trials_keep_what_they_found_by_recipe_and_seed(tmp_path: Path) -> None:
    names = list(RECIPES)
    found = settling(tmp_path)._try(names, SCHEDULE)
    assert [one.recipe for one in found] == names
    assert all(one.scores.shape == (module.SEEDS,) for one in found)
    again = settling(tmp_path)._try(names, SCHEDULE)
    assert [one.scores.tolist() for one in again] == [one.scores.tolist() for one in found]

from __future__ import annotations

import pytest

from tasks.contracts.arms import (
    ARMS,
    DISTILLED,
    FILTERED,
    NON_SYNTHETIC,
    PASTED,
    PSEUDO_LABELLED,
    REAL,
    REPEATED,
    SYNTHETIC_ONLY,
    UNFILTERED,
)
from tasks.contracts.errors import UserError
from tasks.lift.fairness import check_fair
from tasks.lift.metrics import METRICS, metric_named
from tasks.lift.parts import Estimate
from tasks.lift.rule import choose_baseline, judge, strongest
from tests.lift.fake_runs import FRACTIONS, fake_predictions, report_params, runs_of

STRONGEST = report_params(baseline="strongest")


@pytest.fixture(scope="module")
def runs():
    return runs_of(fake_predictions(["a", "b"], seeds=3), 2)


def with_value(runs, arm, column, value, seeds=(0, 1, 2)):
    changed = runs.copy()
    rows = (changed["arm"] == arm) & changed["seed"].isin(seeds)
    changed.loc[rows, column] = value
    return changed


def refused(runs, arm, column, value, seeds=(1,)):
    """The reason why runs with one arm changed are refused, which names arm and seed."""
    with pytest.raises(UserError) as caught:
        check_fair(with_value(runs, arm, column, value, seeds))
    said = str(caught.value)
    assert f"arm {arm!r}, seed {seeds[0]}" in said
    return said


def test_arms_that_differ_in_the_addition_alone_pass(runs):
    check_fair(runs)
    assert set(runs["arm"]) == {*ARMS, *FRACTIONS}
    assert runs[runs["arm"] == FILTERED]["added"].nunique() == 3  # each GAN has its own number


@pytest.mark.parametrize("arm", [FILTERED, REAL, SYNTHETIC_ONLY, FRACTIONS[0]])
@pytest.mark.parametrize("seeds", [(0, 1, 2), (1,)])
def test_another_recipe_or_more_steps_in_any_arm_are_caught(runs, arm, seeds):
    assert "recipe (plain where it should be mixup)" in refused(runs, arm, "recipe", "plain", seeds)
    said = refused(runs, arm, "steps", 60, seeds)
    assert "optimiser steps (60 where it should be 30)" in said


@pytest.mark.parametrize("arm", [FILTERED, REPEATED, PSEUDO_LABELLED])
@pytest.mark.parametrize(
    ("column", "what"), [("real_seen", "real images shown"), ("real", "real images to train on")]
)
def test_other_real_images_are_caught(runs, arm, column, what):
    assert what in refused(runs, arm, column, 10_000)


@pytest.mark.parametrize("arm", [SYNTHETIC_ONLY, FRACTIONS[1]])
def test_arms_that_train_on_other_real_images_are_left_alone(runs, arm):
    check_fair(with_value(with_value(runs, arm, "real_seen", 7), arm, "real", 7))


@pytest.mark.parametrize("arm", [FILTERED, UNFILTERED, DISTILLED, PASTED, REPEATED])
@pytest.mark.parametrize(
    ("column", "what"),
    [("added", "added images to train on"), ("added_seen", "added images shown")],
)
def test_another_number_of_added_images_is_caught(runs, arm, column, what):
    assert what in refused(runs, arm, column, 10_000)
    (elsewhere,) = runs[(runs["arm"] == arm) & (runs["seed"] == 2)][column]
    if column == "added":  # what another seed rightly has is still wrong here
        assert what in refused(runs, arm, column, elsewhere)


@pytest.mark.parametrize("arm", [REAL, FRACTIONS[0]])
@pytest.mark.parametrize("column", ["added", "added_seen"])
def test_an_addition_to_the_real_images_alone_is_caught(runs, arm, column):
    assert "(5 where it should be 0)" in refused(runs, arm, column, 5)


def test_pseudo_labelled_images_are_all_there_are(runs):
    check_fair(with_value(runs, PSEUDO_LABELLED, "added", 900))


def test_runs_of_an_older_kind_are_refused(runs):
    with pytest.raises(UserError, match=r"runs: lack recipe, added\b"):
        check_fair(runs.drop(columns=["recipe", "added"]))


@pytest.mark.parametrize("arm", NON_SYNTHETIC)
def test_the_baseline_is_the_best_on_val(runs, arm):
    chosen, why = choose_baseline(
        with_value(runs, arm, "val_balanced_accuracy", 0.999),
        METRICS["balanced_accuracy"],
        STRONGEST,
    )
    assert (chosen, why.rule) == (arm, "strongest")
    assert why.val[arm] == pytest.approx(0.999)
    assert tuple(why.val) == NON_SYNTHETIC


def test_test_scores_cannot_move_the_baseline(runs):
    expected = choose_baseline(runs, METRICS["balanced_accuracy"], STRONGEST)
    for arm in NON_SYNTHETIC:
        tempting = with_value(runs, arm, "balanced_accuracy", 1.0)
        assert choose_baseline(tempting, METRICS["balanced_accuracy"], STRONGEST) == expected
    blind = runs[["arm", "seed", "val_balanced_accuracy"]]
    assert choose_baseline(blind, METRICS["balanced_accuracy"], STRONGEST) == expected


def test_the_baseline_follows_the_primary_metric(runs):
    tempting = with_value(runs, "real", "val_log_loss", 0.001)
    tempting = with_value(tempting, NON_SYNTHETIC[1], "val_recall_1", 1.0)
    tempting = with_value(tempting, NON_SYNTHETIC[2], "val_log_loss", 9.0)
    assert choose_baseline(tempting, METRICS["log_loss"], STRONGEST)[0] == REAL
    one_class = metric_named("recall:b", ["a", "b"])
    assert choose_baseline(tempting, one_class, STRONGEST)[0] == NON_SYNTHETIC[1]


def test_equals_fractions_and_gan_arms(runs):
    level = runs.assign(val_balanced_accuracy=0.9)
    for arm in (FILTERED, SYNTHETIC_ONLY, *FRACTIONS):
        level = with_value(level, arm, "val_balanced_accuracy", 1.0)
    metric = METRICS["balanced_accuracy"]
    assert choose_baseline(level, metric, STRONGEST)[0] == REAL  # the first of equals
    treated = report_params(baseline="strongest", treatment=REAL)
    assert choose_baseline(level, metric, treated)[0] == REPEATED
    declared, why = choose_baseline(level, metric, report_params(baseline=PSEUDO_LABELLED))
    assert (declared, why.rule) == (PSEUDO_LABELLED, "declared")
    assert strongest(why.val, FILTERED, less_is_better=False) == REAL


def test_runs_that_cannot_tell_are_refused(runs):
    old = runs.drop(columns="val_balanced_accuracy")
    with pytest.raises(UserError, match=r"lack val_balanced_accuracy"):
        choose_baseline(old, METRICS["balanced_accuracy"], STRONGEST)
    with pytest.raises(UserError, match=r"no arm without synthetic"):
        choose_baseline(runs[runs["arm"] == FILTERED], METRICS["accuracy"], STRONGEST)


@pytest.mark.parametrize(
    ("mean", "low", "high", "verdict"),
    [
        (2.0, 0.1, 4.0, "helps"),
        (0.5, 0.1, 0.9, "helps"),
        (0.4, 0.1, 0.9, "inconclusive"),
        (2.0, 0.0, 4.0, "inconclusive"),
        (2.0, -0.1, 4.0, "inconclusive"),
        (-2.0, -4.0, -0.1, "hurts"),
        (-0.4, -0.9, -0.1, "inconclusive"),
        (-2.0, -4.0, 0.0, "inconclusive"),
        (0.0, 0.0, 0.0, "inconclusive"),
    ],
)
def test_the_rule_of_the_verdict(mean, low, high, verdict):
    assert judge(Estimate(mean=mean, ci_low=low, ci_high=high), 0.5) == verdict

"""From runs and predictions to ``lift.json``, without a page."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tasks.contracts.arms import (
    ARMS,
    FILTERED,
    NON_SYNTHETIC,
    PSEUDO_LABELLED,
    REAL,
    REPEATED,
    UNFILTERED,
    fraction_of,
)
from tasks.contracts.errors import UserError
from tasks.lift.result import LiftResult
from tasks.lift.summary import lift_result
from tests.lift.fake_inputs import fake_merged
from tests.lift.fake_runs import FRACTIONS, fake_predictions, report_params, retrained_of, runs_of

NAMES = ("cat", "dog", "eel")


def judged(frame, names=NAMES, *, runs=None, **rule):
    runs = runs_of(frame, len(names)) if runs is None else runs
    return lift_result(
        runs,
        frame,
        names,
        retrained=retrained_of(runs, list(frame["image_id"].unique())),
        merged=fake_merged(names, [20] * len(names), gans=1, size=8).manifest,
        control=60,
        gans={},
        params=report_params(**rule),
        seed=0,
    )


@pytest.fixture(scope="module")
def helped():
    return judged(fake_predictions(NAMES, effect=0.9), baseline="strongest")


def refused(frame, names=NAMES, **rule):
    runs = runs_of(fake_predictions(NAMES, seeds=2), 3)
    with pytest.raises(UserError) as caught:
        judged(frame, names, runs=runs, **rule)
    return str(caught.value)


@pytest.mark.parametrize(
    "metric", ["balanced_accuracy", "accuracy", "macro_f1", "log_loss", "recall:dog"]
)
@pytest.mark.parametrize(("effect", "word"), [(0.8, "helps"), (-0.8, "hurts")])
def test_the_verdict_flips_with_the_sign_of_a_planted_effect(metric, effect, word):
    # enough images that a single class tells
    frame = fake_predictions(NAMES, effect=effect, test_per_class=160)
    found = judged(frame, primary_metric=metric)
    assert found.verdict == word
    lift = found.lift_pp
    assert (lift.mean > 0) == (effect > 0)
    assert lift.p_value < 0.05
    means = [found.arms[arm][metric].mean for arm in (FILTERED, REAL)]
    factor = -100 if metric == "log_loss" else 100
    assert lift.mean == pytest.approx(factor * (means[0] - means[1]), abs=1e-3)


def test_swapping_the_arms_turns_the_lift_around():
    frame = fake_predictions(NAMES, arms=[REAL, FILTERED])
    there = judged(frame).lift_pp
    back = judged(frame, treatment=REAL, baseline=FILTERED).lift_pp
    assert back.mean == pytest.approx(-there.mean)
    assert back.ci_low == pytest.approx(-there.ci_high)
    assert back.p_value == pytest.approx(there.p_value)


def test_arms_stand_in_their_order_and_fractions_in_the_curve(helped):
    assert tuple(helped.arms) == ARMS
    assert set(helped.arm_lift_pp) == {arm for arm in ARMS if arm != helped.baseline}
    curve = helped.worth.curve
    assert [point.arm for point in curve] == [*FRACTIONS[:2], REAL, FRACTIONS[2]]
    assert [point.real_images for point in curve] == [15, 30, 60, 120]
    assert helped.worth.have == 60
    assert all(fraction_of(point.arm) for point in curve if point.arm != REAL)


def test_how_every_arm_was_trained_and_what_it_was_shown_are_told(helped):
    trained = helped.classifier
    assert (trained.recipe, trained.steps, trained.settled_by) == ("mixup", 30, "plateau")
    assert [row.chosen for row in trained.settling] == [False, False, False, True]
    assert (trained.gain, trained.gain_standard_error) == (0.002, 0.003)
    shown = {arm: (of.shown.real, of.shown.added) for arm, of in helped.arms.items()}
    added = round(30 * np.mean([60, 59, 58]))
    assert shown[REAL] == (1920, 0)
    assert shown[FILTERED] == shown[REPEATED] == (1920, added)


@pytest.mark.parametrize("effect", [-0.8, 0.0, 0.1, 0.9])
@pytest.mark.parametrize("metric", ["balanced_accuracy", "log_loss"])
def test_worth_never_contradicts_the_lift(effect, metric):
    # the baseline is better than the curve: at 0.1 the treatment is above one and below the other
    found = judged(
        fake_predictions(NAMES, effect=effect), primary_metric=metric, baseline=UNFILTERED
    )
    of, lift = found.worth, found.lift_pp
    images = of.real_images or (0 if of.beyond == "below" else np.inf)
    assert (images > of.have, images < of.have) == (lift.mean > 0, lift.mean < 0)
    assert (of.low is not None and of.low >= of.have) or lift.ci_low <= 0
    assert (of.high is not None and of.high <= of.have) or lift.ci_high >= 0
    if effect == 0.1:
        treated, real = (found.primary(arm).mean for arm in (FILTERED, REAL))
        assert lift.mean < 0
        assert (treated < real) if metric == "log_loss" else (treated > real)


def test_the_lift_of_more_real_images_is_over_the_baseline(helped):
    more, twice = helped.more_real, helped.worth.curve[-1]
    assert more.real_images == 120
    over = helped.primary(helped.baseline).mean
    assert more.lift_pp.mean == pytest.approx(100 * (twice.mean - over), abs=1e-3)
    fewer = [arm for arm in (*ARMS, *FRACTIONS) if arm != FRACTIONS[2]]
    assert judged(fake_predictions(NAMES, arms=fewer)).more_real is None


def test_the_baseline_is_told_with_what_it_was_chosen_by(helped):
    choice = helped.baseline_choice
    assert choice.rule == "strongest"
    assert tuple(choice.val) == NON_SYNTHETIC
    assert choice.val[helped.baseline] == max(choice.val.values())
    assert helped.arms[PSEUDO_LABELLED].val.mean == choice.val[PSEUDO_LABELLED]
    assert (helped.answer, helped.advice) == ("", "")  # the words come later


def test_the_strongest_on_test_is_not_the_baseline_unless_it_is_on_val():
    frame = fake_predictions(NAMES)
    runs = runs_of(frame, 3)
    runs.loc[runs["arm"] == REPEATED, "val_balanced_accuracy"] = 0.99
    found = judged(frame, runs=runs, baseline="strongest")
    means = {arm: found.primary(arm).mean for arm in NON_SYNTHETIC}
    assert found.baseline == REPEATED
    assert means[REPEATED] < max(means.values())


def test_secondary_comparisons_are_corrected_and_the_verdict_is_none_of_them(helped):
    pairs = [(of.arm, of.over) for of in helped.comparisons]
    assert pairs[:2] == [(FILTERED, UNFILTERED), (FILTERED, REPEATED)]
    assert (helped.treatment, helped.baseline) not in pairs
    assert {over for _, over in pairs} == {*NON_SYNTHETIC, UNFILTERED} - {helped.baseline}
    for of in helped.comparisons:
        assert of.p_holm >= of.lift_pp.p_value
    first = dict(helped.comparisons[0].lift_pp)
    assert first.items() >= dict(helped.filter_lift_pp).items()


def test_what_else_a_reader_needs_is_there(helped):
    points, arms = helped.lift_pp, helped.arms
    assert points.se**2 == pytest.approx(
        helped.noise_pp.runs**2 + helped.noise_pp.images**2, rel=1e-3
    )
    assert helped.mde_pp > points.ci_high - points.mean
    assert (helped.power, helped.settle, helped.gan_luck) == (0.8, None, True)
    assert len(helped.mcnemar) == 6
    assert helped.mcnemar[4].gan_seed == 1
    assert len(arms["real"].ece.values) == 6
    for name in ("accuracy", "log_loss"):
        assert arms["real"][name].ci_low < arms["real"][name].mean
    assert 0 < arms["real"]["accuracy"].ci_high <= 1
    assert helped.classifier.kept.arm == FILTERED
    assert len(helped.digests.test) == 64
    assert LiftResult.model_validate(json.loads(helped.dumps())) == helped


def test_what_would_settle_it_is_told_where_it_is_open():
    open_ = judged(fake_predictions(NAMES, effect=0.13, test_per_class=25))
    assert open_.verdict == "inconclusive"
    assert open_.settle.test_images is None or open_.settle.test_images > 75
    small = judged(fake_predictions(NAMES, effect=0.1), smallest_lift_pp=50.0)
    assert (small.verdict, small.settle) == ("inconclusive", None)


def test_equal_inputs_give_equal_results():
    frame = fake_predictions(NAMES)
    shuffled = frame.sample(frac=1.0, random_state=0).sort_values("image_id", kind="stable")
    assert judged(frame).dumps() == judged(frame).dumps()
    one, other = judged(frame.sort_values("image_id", kind="stable")), judged(shuffled)
    assert one.lift_pp == other.lift_pp


def test_a_class_without_test_image_is_named():
    assert "'unicorn'" in refused(fake_predictions(NAMES), [*NAMES, "unicorn"])


def test_an_arm_that_did_not_run_cannot_be_judged():
    assert "report.treatment" in refused(fake_predictions(NAMES, arms=[REAL, REPEATED]))


def test_an_unknown_class_is_refused_before_anything_is_computed():
    assert "nearest is recall:dog" in refused(fake_predictions(NAMES), primary_metric="recall:dgo")


def test_one_seed_gives_no_interval():
    assert "one seed says nothing" in refused(fake_predictions(NAMES, seeds=1))


def test_too_few_test_images_for_the_level():
    frame = fake_predictions(NAMES, test_per_class=4)
    assert "at least 15" in refused(frame, level=0.9999)


def test_runs_that_cannot_be_paired_are_refused():
    frame = fake_predictions(NAMES)
    one = (frame["arm"] == "real") & (frame["seed"] == 2)
    assert "seeds" in refused(frame[~one])
    swapped = frame.copy()
    swapped.loc[one, "image_id"] = frame.loc[one, "image_id"].to_numpy()[::-1]
    assert "other images" in refused(swapped)


def test_many_classes_and_images_fit_in_memory_and_seconds():
    names = [f"class {n}" for n in range(200)]
    frame = fake_predictions(names, arms=[REAL, FILTERED], test_per_class=5)
    found = judged(frame, names)
    assert np.isfinite([of.lift_pp.ci_low for of in found.per_class.values()]).all()

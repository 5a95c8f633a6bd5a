"""Folds put together: as one test set that holds every image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tasks.contracts.arms import FILTERED, PSEUDO_LABELLED, REAL
from tasks.contracts.errors import UserError
from tasks.lift.folds import Fold, over_folds
from tasks.lift.summary import lift_result
from tests.lift.fake_inputs import fake_merged
from tests.lift.fake_runs import fake_predictions, report_params, retrained_of, runs_of

NAMES = ("cat", "dog", "eel")
FOLDS = 3


def _result(frame, runs, retrained):
    return lift_result(
        runs,
        frame,
        NAMES,
        retrained=retrained,
        merged=fake_merged(NAMES, [20] * len(NAMES), gans=3, size=8).manifest,
        control=60,
        gans={},
        params=report_params(),
        seed=0,
    )


def _fold(number, frame, recipe="mixup"):
    runs = runs_of(frame, len(NAMES)).assign(recipe=recipe)
    retrained = retrained_of(runs, list(frame["image_id"].unique())) | {"recipe": recipe}
    return Fold(number, runs, frame, retrained, _result(frame, runs, retrained))


def _parted(frame):
    """Deal the images out to the folds: each is tested on in one of them."""
    ids = frame["image_id"].unique()
    return [frame[frame["image_id"].isin(set(ids[number::FOLDS]))] for number in range(FOLDS)]


@pytest.fixture(scope="module")
def frame():
    return fake_predictions(NAMES, effect=0.6)


@pytest.fixture(scope="module")
def folds(frame):
    return [_fold(number, part) for number, part in enumerate(_parted(frame), start=1)]


def test_folds_of_one_study_give_the_result_of_the_whole(frame, folds):
    runs = runs_of(frame, len(NAMES))
    whole = _result(frame, runs, retrained_of(runs, list(frame["image_id"].unique())))
    found = over_folds(folds, NAMES, report_params(), 0)
    assert found.counts.test == whole.counts.test == sum(one.test_images for one in found.folds)
    # images are drawn in another order, so ends of intervals differ as two seeds' do
    for arm, of in whole.arms.items():
        assert found.arms[arm].balanced_accuracy.values == of.balanced_accuracy.values, arm
        assert found.arms[arm].log_loss.mean == pytest.approx(of.log_loss.mean, abs=1e-6)
    assert found.lift_pp.mean == whole.lift_pp.mean
    assert found.lift_pp.se == pytest.approx(whole.lift_pp.se, rel=0.1)
    for name, of in whole.per_class.items():
        assert found.per_class[name].lift_pp.mean == of.lift_pp.mean
    assert found.verdict == whole.verdict
    assert [one.lift_pp.mean for one in found.folds] == [of.result.lift_pp.mean for of in folds]


def test_all_folds_are_surer_than_one(folds):
    found = over_folds(folds, NAMES, report_params(), 0)
    assert found.noise_pp.images < min(of.result.noise_pp.images for of in folds)


def test_the_order_of_rows_decides_nothing(folds):
    rng = np.random.default_rng(0)
    shuffled = [
        Fold(
            of.number,
            of.runs.iloc[rng.permutation(len(of.runs))],
            of.predictions,
            of.retrained,
            of.result,
        )
        for of in folds
    ]
    first, second = (over_folds(of, NAMES, report_params(), 0) for of in (folds, shuffled))
    assert first.lift_pp == second.lift_pp
    assert first.arms[FILTERED].val == second.arms[FILTERED].val


def test_each_fold_may_settle_a_recipe_of_its_own_and_an_arm_that_one_lacks_is_left_out(frame):
    parts = _parted(frame)
    parts[1] = parts[1][parts[1]["arm"] != PSEUDO_LABELLED]
    recipes = ("mixup", "trivial", "mixup")
    each = [_fold(n + 1, part, recipes[n]) for n, part in enumerate(parts)]
    found = over_folds(each, NAMES, report_params(), 0)
    assert found.classifier.recipe == "mixup or trivial"
    assert [one.recipe for one in found.folds] == list(recipes)
    assert PSEUDO_LABELLED not in found.arms
    assert REAL in found.arms


def test_an_image_that_two_folds_test_on_is_refused(folds):
    with pytest.raises(UserError, match="two of them test on one image"):
        over_folds([folds[0], *folds], NAMES, report_params(), 0)


@pytest.mark.parametrize(("used", "agree"), [((True,) * 3, True), ((True, True, False), False)])
def test_what_arms_start_from_is_told_where_all_folds_agree(folds, used, agree):
    def pretraining(number, used):
        told = {"images": 90 + number, "classes": 3, "steps": 400}
        return told | {"from_scratch": 0.5, "pretrained": 0.6 + 0.1 * number, "used": used}

    each = [
        replace(fold, retrained={**fold.retrained, "pretraining": pretraining(n, used[n])})
        for n, fold in enumerate(folds)
    ]
    found = over_folds(each, NAMES, report_params(), 0).classifier.pretraining
    assert (found is not None) == agree
    if found is not None:
        assert (found.images, found.classes, found.steps, found.used) == (91, 3, 400, True)
        assert (found.from_scratch, found.pretrained) == pytest.approx((0.5, 0.7))
    assert over_folds(folds, NAMES, report_params(), 0).classifier.pretraining is None

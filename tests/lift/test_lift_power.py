from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from tasks.contracts.errors import UserError
from tasks.lift.intervals import Noise, interval
from tasks.lift.metrics import METRICS, metric_named
from tasks.lift.power import check_units, minimum_detectable, settle
from tasks.lift.predictions import ArmRuns, Predictions


def test_the_detectable_effect_is_found_in_four_of_five_repetitions():
    # a t test with many runs, whose power statsmodels knows
    runs, sd = 60, 2.0
    effect = minimum_detectable(sd / np.sqrt(runs), runs - 1.0, 0.95)
    power = TTestPower().power(effect / sd, runs, 0.05, alternative="two-sided")
    assert power == pytest.approx(0.8, abs=0.01)


def test_few_degrees_of_freedom_cost_power():
    few, many = (minimum_detectable(1.0, df, 0.95) for df in (2, 200))
    assert few > 1.5 * many


NOISE = Noise(units=0.04, seeds=0.02, cells=0.01, images=0.05, df_runs=3, df_images=700)


def needed(mean, noise=NOISE, gans=4, seeds=8, images=800):
    return settle(mean, noise, gans=gans, seeds=seeds, test_images=images, level=0.95)


def test_what_settles_it_is_just_enough():
    found = needed(0.7)
    assert found.gans is not None
    for gans, past in ((found.gans, True), (found.gans - 1, False)):
        times = gans / 4
        more = Noise(0.04 / times, 0.02 / times, 0.01 / times, 0.05, gans - 1, 700)
        assert (interval(0.7, more, 0.95).low > 0) == past


def test_what_cannot_settle_it_alone_is_not_named():
    # the GANs of now leave too much, the images of now leave too much
    only_gans = Noise(0.09, 0.0, 0.0, 0.0, 3, 700)
    found = needed(0.6, only_gans)
    assert found.seeds is None
    assert found.test_images is None
    assert found.gans is not None
    only_images = Noise(0.0, 0.0, 0.0, 0.09, 3, 700)
    found = needed(0.5, only_images)
    assert found.gans is None
    assert found.seeds is None
    assert found.test_images == pytest.approx(800 * 0.09 * (1.96 / 0.5) ** 2, rel=0.02)
    assert needed(0.001).gans is None  # not within 100 times


def test_runs_without_several_gans_are_settled_by_seeds():
    noise = Noise(0.06, 0.0, 0.01, 0.001, 7, 700)
    found = needed(0.5, noise, gans=1)
    assert found.gans is None
    assert found.seeds is not None
    times = found.seeds / 8
    reach = stats.t.ppf(0.975, 8 * times - 1) * np.sqrt(0.07 / times + 0.001)
    assert reach < 0.5
    assert found.seeds < 20


def test_one_run_a_gan_tells_nothing_of_seeds():
    found = needed(0.5, Noise(0.06, 0.0, 0.01, 0.001, 7, 700), gans=8)
    assert found.seeds is None
    assert found.gans is not None


def test_the_sign_of_the_lift_does_not_matter():
    assert needed(-0.8) == needed(0.8)


@pytest.mark.parametrize("seed", range(12))
def test_the_least_number_is_the_one_that_trying_all_of_them_finds(seed):
    rng = np.random.default_rng(seed)
    runs, cells, of_images = rng.exponential([0.01, 0.02, 0.3])
    noise = Noise(runs, 0.0, cells, of_images, int(rng.integers(1, 8)), 700)
    mean = 1.05 * interval(1.0, Noise(runs, 0.0, 0.0, 1e-4, 7, 700), 0.95).high - 1.05
    images = int(rng.integers(1000, 3000))  # too many to try every number on the way
    times = np.arange(images + 1, 100 * images + 1) / images
    of_runs, of_images = runs + cells / times, of_images / times
    df = (of_runs + of_images) ** 2 / (
        of_runs**2 / noise.df_runs + of_images**2 / (noise.df_images * times)
    )
    enough = stats.t.ppf(0.975, df) * np.sqrt(of_runs + of_images) < mean
    expected = images + 1 + int(enough.argmax()) if enough.any() else None
    assert needed(mean, noise, images=images).test_images == expected


def test_settling_looks_at_few_of_very_many_numbers(monkeypatch):
    looked = []
    quantile = stats.t.ppf
    monkeypatch.setattr(stats.t, "ppf", lambda q, df: looked.append(np.size(df)) or quantile(q, df))
    settle(0.7, NOISE, gans=4, seeds=8, test_images=45_000, level=0.95)
    settle(0.001, NOISE, gans=4, seeds=8, test_images=45_000, level=0.95)
    assert sum(looked) < 45_000  # of 4.5 million test images that it could be


def predictions(images, groups=None):
    labels = np.arange(images) % 2
    runs = ArmRuns((0, 1), None, np.zeros((2, images), np.int64), np.ones((2, images)))
    return Predictions(labels, np.arange(images) if groups is None else groups, {"real": runs})


def test_a_test_split_too_small_for_the_level_is_told_how_many_it_takes():
    accuracy = METRICS["accuracy"]
    # a sign test on 5 images reaches 2/32 at best, on 6 2/64
    assert stats.binomtest(6, 6).pvalue < 0.05 < stats.binomtest(5, 5).pvalue
    check_units(predictions(6), accuracy, 0.95)
    with pytest.raises(UserError, match=r"5 independent images.* at least 6"):
        check_units(predictions(5), accuracy, 0.95)
    with pytest.raises(UserError, match=r"5 independent images.* at least 6"):
        check_units(predictions(50, np.arange(50) % 5), accuracy, 0.95)
    with pytest.raises(UserError, match=r"5 independent images.*recall of ‘b’.* at least 6"):
        check_units(predictions(10), metric_named("recall:b", ["a", "b"]), 0.95)
    check_units(predictions(5), accuracy, 0.9)

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from tasks.lift.intervals import Interval
from tasks.lift.worth import images_for, worth
from tests.reference.lift_significance import isotonic

NUMBERS = np.array([50.0, 100.0, 200.0, 400.0])
POINTS = np.array([0.70, 0.80, 0.86, 0.90])


def known(mean):
    return Interval(mean, mean - 0.01, mean + 0.01, 0.005, 9.0, 0.01)


def read(value, sd=0.01, points=POINTS, sign=1.0, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, sd, (4000, 1))
    return worth(
        {f"{n:g}": (int(n), known(p)) for n, p in zip(NUMBERS, points, strict=True)},
        points + shared + rng.normal(0, sd / 3, (4000, 4)),
        value + shared[:, 0] + rng.normal(0, sd / 3, 4000),
        value,
        sign=sign,
        have=200,
        df=20.0,
        level=0.95,
    )


@pytest.mark.parametrize(("value", "images"), [(0.70, 50), (0.80, 100), (0.86, 200), (0.90, 400)])
def test_the_curves_own_points_are_worth_their_images(value, images):
    assert images_for(value, POINTS, NUMBERS) == pytest.approx(images)


def test_between_points_the_curve_is_straight_over_the_logarithm():
    assert images_for(0.83, POINTS, NUMBERS) == pytest.approx(np.sqrt(100 * 200))
    values = np.linspace(0.7, 0.9, 50)
    found = [images_for(value, POINTS, NUMBERS) for value in values]
    assert np.all(np.diff(found) > 0)
    np.testing.assert_allclose(np.interp(np.log(found), np.log(NUMBERS), POINTS), values)


def test_a_curve_that_falls_is_made_to_rise_first():
    dented = np.array([0.70, 0.84, 0.80, 0.90])
    np.testing.assert_allclose(isotonic_regression(dented).x, isotonic(dented))
    assert images_for(0.82, dented, NUMBERS) == pytest.approx(100)  # the least that does it
    assert images_for(0.86, dented, NUMBERS) == pytest.approx(np.sqrt(200 * 400))


def test_beyond_the_curve_nothing_is_made_up():
    above, below = read(0.95), read(0.60)
    assert (above.real_images, above.beyond, above.low, above.high) == (None, "above", 400, None)
    assert (below.real_images, below.beyond, below.low, below.high) == (None, "below", None, 50)


def test_the_interval_holds_the_number_and_grows_with_the_noise():
    narrow, wide = read(0.83, sd=0.002), read(0.83, sd=0.01)
    assert narrow.real_images == wide.real_images == 141
    assert wide.low < narrow.low < 141 < narrow.high < wide.high
    assert read(0.89, sd=0.02).high is None  # it may well lie past the end


def test_of_a_loss_less_is_better():
    of_loss = read(1 - 0.83, points=1 - POINTS, sign=-1.0)
    assert of_loss.real_images == read(0.83).real_images
    assert read(1 - 0.95, points=1 - POINTS, sign=-1.0).beyond == "above"

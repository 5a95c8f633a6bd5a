from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from tasks.lift.intervals import Interval
from tasks.lift.worth import images_for, worth
from tests.reference.lift_significance import isotonic

NUMBERS = np.array([50.0, 100.0, 200.0, 400.0])
POINTS = np.array([70.0, 80.0, 86.0, 90.0])
HAVE = 2  # the place of the real images that one has: 200


def known(mean, half=0.01, df=9.0):
    return Interval(mean, mean - half, mean + half, half / 2, df, 0.01)


def read(lift, sd=1.0, points=POINTS / 100, factor=100.0, seed=0, half=None):
    rng = np.random.default_rng(seed)
    draws = points + rng.normal(0, sd / 300, (4000, len(points)))
    return worth(
        {f"{n:g}": (int(n), known(p)) for n, p in zip(NUMBERS, points, strict=True)},
        draws,
        known(lift, half or 2.1 * sd, df=20.0),
        lift + rng.normal(0, sd, 4000),
        factor=factor,
        have=200,
        level=0.95,
    )


@pytest.mark.parametrize(("lift", "images"), [(-16, 50), (-6, 100), (0, 200), (4, 400)])
def test_a_lift_to_a_point_of_the_curve_is_worth_its_images(lift, images):
    assert images_for(lift, POINTS, NUMBERS, HAVE) == pytest.approx(images)


def test_between_points_the_curve_is_straight_over_the_logarithm():
    lifts = np.linspace(-16, 4, 51)
    found = [images_for(lift, POINTS, NUMBERS, HAVE) for lift in lifts]
    assert np.all(np.diff(found) > 0)
    np.testing.assert_allclose(
        np.interp(np.log(found), np.log(NUMBERS), POINTS), POINTS[HAVE] + lifts
    )


@pytest.mark.parametrize("at", range(5))
def test_on_a_straight_curve_the_images_are_the_exact_inverse(at):
    numbers = np.array([25.0, 60.0, 90.0, 200.0, 1000.0])
    straight = 3.0 * np.log(numbers)
    for lift in np.linspace(straight[0], straight[-1], 40) - straight[at]:
        expected = numbers[at] * np.exp(lift / 3.0)
        inside = np.clip(lift, straight[0] - straight[at], straight[-1] - straight[at])
        assert images_for(inside, straight, numbers, at) == pytest.approx(expected)


def test_a_curve_that_falls_is_made_to_rise_first():
    dented = np.array([70.0, 84.0, 80.0, 90.0])
    np.testing.assert_allclose(isotonic_regression(dented).x, isotonic(dented))
    # the curve has 82 at 100 and at 200, so a gain leads on from 200, a loss back from 100
    assert images_for(0.0, dented, NUMBERS, HAVE) == 200
    assert images_for(4.0, dented, NUMBERS, HAVE) == pytest.approx(np.sqrt(200 * 400))
    assert images_for(-6.0, dented, NUMBERS, HAVE) == pytest.approx(np.sqrt(50 * 100))


def curves(rng):
    """Curves of any kind: rising, falling, flat, with flat stretches, and noisy."""
    size = int(rng.integers(2, 7))
    numbers = np.sort(rng.choice(np.arange(5, 2000), size, replace=False)).astype(np.float64)
    steps = rng.choice([-1.0, 0.0, 0.0, 1.0, 1e-9], size) * rng.exponential(2.0, size)
    return numbers, 80.0 + np.cumsum(steps), int(rng.integers(size))


def lifts(rng):
    return np.concatenate(
        [rng.normal(0, 3, 6), rng.choice([-1.0, 1.0], 4) * 10.0 ** -rng.integers(1, 17, 4), [0.0]]
    )


@pytest.mark.parametrize("seed", range(200))
def test_images_never_contradict_the_sign_of_the_lift(seed):
    rng = np.random.default_rng(seed)
    numbers, points, at = curves(rng)
    for lift in lifts(rng):
        images = images_for(lift, points, numbers, at)
        if lift == 0.0:
            assert images == numbers[at]
        else:
            assert np.sign(lift) * (images - numbers[at]) >= 0
        if abs(lift) > 1e-3:
            assert images != numbers[at]
    found = [images_for(lift, points, numbers, at) for lift in np.linspace(-9, 9, 61)]
    assert found == sorted(found)


@pytest.mark.parametrize("factor", [100.0, -100.0])
@pytest.mark.parametrize("seed", range(40))
def test_what_is_told_never_contradicts_the_lift_or_its_interval(seed, factor):
    rng = np.random.default_rng(seed)
    numbers, points, at = curves(rng)
    for mean in lifts(rng):
        half = float(rng.exponential(1.0))
        lift = known(mean, half, df=float(rng.uniform(1, 30)))
        found = worth(
            {f"{n:g}": (int(n), known(p)) for n, p in zip(numbers, points / factor, strict=True)},
            (points + rng.normal(0, 0.5, (60, len(points)))) / factor,
            lift,
            mean + rng.normal(0, half / 1.5, 60),
            factor=factor,
            have=int(numbers[at]),
            level=0.95,
        )
        middle = {"above": np.inf, "below": 0, None: found.real_images}[found.beyond]
        assert np.sign(mean) * (middle - found.have) >= 0
        low, high = found.low or 0, found.high or np.inf
        assert low >= found.have if lift.low > 0 else low <= found.have
        assert high <= found.have if lift.high < 0 else high >= found.have
        assert found.reached.ci_low <= found.reached.mean <= found.reached.ci_high
        gained = factor * (found.reached.mean - found.curve[at].rising)
        assert gained == pytest.approx(mean, abs=1e-3)
        assert all(np.diff([factor * point.rising for point in found.curve]) >= -1e-3)


def test_beyond_the_curve_nothing_is_made_up():
    above, below = read(9.0), read(-26.0)
    assert (above.real_images, above.beyond, above.low, above.high) == (None, "above", 400, None)
    assert (below.real_images, below.beyond, below.low, below.high) == (None, "below", None, 50)


def test_the_interval_holds_the_number_and_grows_with_the_noise():
    narrow, wide = read(-3.0, sd=0.2), read(-3.0, sd=1.0)
    assert narrow.real_images == wide.real_images == 141
    assert wide.low < narrow.low < 141 < narrow.high < wide.high
    assert read(3.0, sd=2.0).high is None  # it may well lie past the end


def test_the_interval_ends_at_what_one_has_where_the_lifts_own_does_not_hold_0():
    held, clear = read(1.0, sd=1.0, half=1.1), read(1.0, sd=1.0, half=0.9)
    assert held.low < 200 == clear.low
    held, clear = read(-1.0, sd=1.0, half=1.1), read(-1.0, sd=1.0, half=0.9)
    assert held.high > 200 == clear.high
    # and the other way round
    assert read(1.0, sd=0.1, half=1.1).low == 200 == read(-1.0, sd=0.1, half=1.1).high


def test_of_a_loss_less_is_better():
    of_loss = read(-3.0, points=1 - POINTS / 100, factor=-100.0)
    assert of_loss.real_images == read(-3.0).real_images == 141
    assert of_loss.reached.mean == pytest.approx(0.17)
    assert of_loss.reached.ci_low < of_loss.reached.ci_high
    assert read(9.0, points=1 - POINTS / 100, factor=-100.0).beyond == "above"

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import brier_score_loss

from tasks.contracts.errors import UserError
from tasks.quality.calibration import (
    CALIBRATIONS,
    OutOfFold,
    isotonic,
    logistic,
    out_of_fold,
    tells_nothing,
)

EACH = pytest.mark.parametrize("name", CALIBRATIONS)


def drawn(slope: float, bias: float, n: int = 20_000, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Logits of real and fake images, where p(real | logit) is a known logistic."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, n)
    real = rng.random(n) < expit(slope * logits + bias)
    return logits[real], logits[~real]


@pytest.mark.parametrize(("name", "error"), [("logistic", 0.02), ("isotonic", 0.06)])
def test_a_known_logistic_is_recovered(name: str, error: float) -> None:
    real, fake = drawn(1.5, 0.0)
    places = np.linspace(-4, 4, 21)
    p = CALIBRATIONS[name](real, fake)(places)
    np.testing.assert_allclose(p, expit(1.5 * places), atol=error)


def test_isotonic_follows_a_bend_that_no_logistic_has() -> None:
    rng = np.random.default_rng(0)
    logits = rng.uniform(0, 1, 20_000)
    truth = np.where(logits < 0.5, 0.2, 0.7)
    real = rng.random(len(logits)) < truth
    places = np.array([0.1, 0.3, 0.45, 0.55, 0.7, 0.9])
    weight = (~real).sum() / real.sum()  # both kinds weigh alike
    expected = np.where(places < 0.5, 0.2, 0.7)
    expected = expected * weight / (expected * weight + 1 - expected)
    errors = [
        np.abs(fit(logits[real], logits[~real])(places) - expected).max()
        for fit in (isotonic, logistic)
    ]
    assert errors[0] < 0.04 < errors[1]


@given(st.integers(0, 1000), st.integers(2, 30), st.integers(2, 30))
def test_isotonic_never_falls_and_is_never_certain(seed: int, n: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    p = isotonic(rng.normal(1, 1, n), rng.normal(0, 1, m))(np.linspace(-9, 9, 200))
    assert (np.diff(p) >= 0).all()
    assert p.min() >= 1 / (n + m + 2) - 1e-9
    assert p.max() <= 1 - 1 / (n + m + 2) + 1e-9


@EACH
def test_both_kinds_weigh_alike_whatever_their_number(name: str) -> None:
    real, fake = drawn(1.5, 0.0)
    places = np.linspace(-3, 3, 21)
    few = CALIBRATIONS[name](real[:1000], fake)
    np.testing.assert_allclose(few(places), expit(1.5 * places), atol=0.12)


@settings(max_examples=12)
@given(st.floats(1e-3, 1e3), st.floats(-1e4, 1e4))
def test_neither_scale_nor_zero_of_the_logit_matters(scale: float, shift: float) -> None:
    real, fake = drawn(1.0, 0.5, n=200)
    plain, moved = logistic(real, fake), logistic(real * scale + shift, fake * scale + shift)
    np.testing.assert_allclose(moved(fake * scale + shift), plain(fake), rtol=1e-3, atol=1e-4)


@EACH
def test_logits_that_tell_nothing_are_a_coin(name: str) -> None:
    rng = np.random.default_rng(0)
    held = out_of_fold(CALIBRATIONS[name], rng.normal(size=2000), rng.normal(size=2000), 0)
    assert held.brier == pytest.approx(0.25, abs=0.005)
    constant = CALIBRATIONS[name](np.full(9, 3.0), np.full(5, 3.0))
    assert constant(np.array([3.0])) == pytest.approx(0.5)


@EACH
def test_a_discriminator_that_prefers_fakes_ranks_none_instead_of_the_least_real(name: str) -> None:
    """Fakes score far above reals: a head that falls would accept the least real images."""
    real, fake = drawn(-1.5, 0.0, n=2000)
    head = CALIBRATIONS[name](real, fake)
    p = head(np.linspace(-6, 6, 50))
    assert (np.diff(p) >= 0).all()
    assert np.ptp(p) < (1e-12 if name == "logistic" else 0.5)
    assert tells_nothing(logistic(real, fake), real, fake)
    assert not tells_nothing(CALIBRATIONS[name](fake, real), fake, real)
    assert out_of_fold(logistic, real, fake, 0).brier == pytest.approx(0.25)


@EACH
def test_extreme_logits_give_a_probability_without_complaint(name: str) -> None:
    real, fake = drawn(1.0, 0.0, n=200)
    low, middle, high = CALIBRATIONS[name](real, fake)(np.array([-1e9, 0.0, 1e9]))
    assert 0 <= low < 0.2 < middle < 0.8 < high <= 1


@EACH
def test_perfect_separation_scores_well_and_ranks_right(name: str) -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(10, 1, 50), rng.normal(-10, 1, 50)
    assert out_of_fold(CALIBRATIONS[name], real, fake, 0).brier < 0.02
    assert (np.diff(CALIBRATIONS[name](real, fake)(np.linspace(-20, 20, 50))) >= 0).all()


def test_brier_is_sklearns_with_both_kinds_weighted_alike() -> None:
    real, fake = drawn(1.0, 1.0, n=300)
    held = out_of_fold(logistic, real, fake, 0)
    expected = brier_score_loss(held.is_real, held.p_real, sample_weight=held.weights)
    assert held.brier == pytest.approx(expected)
    assert held.weights[: len(real)].sum() == pytest.approx(0.5)


def test_brier_of_a_known_generator_is_what_its_noise_leaves() -> None:
    real, fake = drawn(1.5, 0.0)
    logits = np.r_[real, fake]
    p = expit(1.5 * logits)
    assert out_of_fold(logistic, real, fake, 0).brier == pytest.approx(
        (p * (1 - p)).mean(), abs=0.004
    )


def test_out_of_fold_does_not_flatter_what_was_learned_by_heart() -> None:
    """A head that remembers every logit is perfect on what it saw, and a coin elsewhere."""
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=200), rng.normal(size=200)

    def by_heart(real: np.ndarray, fake: np.ndarray):
        return lambda logits: np.where(
            np.isin(logits, real), 1.0, np.isin(logits, fake) * -0.5 + 0.5
        )

    assert by_heart(real, fake)(real).min() == 1
    assert out_of_fold(by_heart, real, fake, 0).brier == pytest.approx(0.25)


def test_reliability_of_a_true_head_lies_on_the_diagonal_and_of_a_sure_one_does_not() -> None:
    real, fake = drawn(1.5, 0.0)
    held = out_of_fold(logistic, real, fake, 0)
    curve = held.reliability()
    assert curve.columns.tolist() == ["p_real", "share_real", "images"]
    assert curve["images"].sum() == len(real) + len(fake)
    assert curve["images"].between(1900, 2100).all()
    np.testing.assert_allclose(curve["p_real"], curve["share_real"], atol=0.03)
    sure = OutOfFold(np.round(held.p_real), held.is_real, held.weights).reliability()
    assert np.abs(sure["p_real"] - sure["share_real"]).max() > 0.1


@pytest.mark.parametrize("values", [[0.5], [0.2, 0.8]])
def test_images_of_one_p_real_stand_in_one_bin(values: list[float]) -> None:
    p_real = np.resize(values, 40)
    curve = OutOfFold(
        p_real, np.resize([1.0, 0.0, 0.0, 1.0], 40), np.full(40, 1 / 40)
    ).reliability()
    assert curve["p_real"].tolist() == pytest.approx(values)
    assert curve["images"].tolist() == [40 // len(values)] * len(values)


@EACH
def test_the_seed_decides_the_folds(name: str) -> None:
    real, fake = drawn(1.0, 0.0, n=100)
    one, again, other = (out_of_fold(CALIBRATIONS[name], real, fake, s) for s in (0, 0, 2**40 + 1))
    np.testing.assert_array_equal(one.p_real, again.p_real)
    assert (one.p_real != other.p_real).any()


@EACH
def test_few_images_are_enough_and_one_is_not(name: str) -> None:
    two = np.array([1.0, 2.0])
    assert np.isfinite(out_of_fold(CALIBRATIONS[name], two, two - 1, 0).brier)
    with pytest.raises(UserError, match="real/val: 1 images are too few"):
        out_of_fold(CALIBRATIONS[name], two[:1], two, 0)

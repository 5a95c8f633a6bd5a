from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import brier_score_loss

from tasks.quality.calibration import calibrate


def drawn(slope: float, bias: float, n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits of real and fake images, where p(real | logit) is a known logistic."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, n)
    real = rng.random(n) < expit(slope * logits + bias)
    return logits[real], logits[~real]


def test_a_known_logistic_is_recovered() -> None:
    real, fake = drawn(1.5, 0.0)
    places = np.linspace(-5, 5, 21)
    p = calibrate(real, fake).p_real(places)
    np.testing.assert_allclose(p, expit(1.5 * places), atol=0.02)


def test_both_kinds_weigh_alike_whatever_their_number() -> None:
    real, fake = drawn(1.5, 0.0)
    places = np.linspace(-5, 5, 21)
    few = calibrate(real[:500], fake)
    np.testing.assert_allclose(few.p_real(places), expit(1.5 * places), atol=0.08)


@settings(max_examples=12)
@given(st.floats(1e-3, 1e3), st.floats(-1e4, 1e4))
def test_neither_scale_nor_zero_of_the_logit_matters(scale: float, shift: float) -> None:
    real, fake = drawn(1.0, 0.5, n=200)
    plain = calibrate(real, fake)
    moved = calibrate(real * scale + shift, fake * scale + shift)
    np.testing.assert_allclose(
        moved.p_real(fake * scale + shift), plain.p_real(fake), rtol=1e-3, atol=1e-4
    )
    assert moved.brier == pytest.approx(plain.brier, abs=1e-4)


def test_brier_is_sklearns_with_both_kinds_weighted_alike() -> None:
    real, fake = drawn(1.0, 1.0, n=300)
    head = calibrate(real, fake)
    expected = brier_score_loss(
        np.r_[np.ones(len(real)), np.zeros(len(fake))],
        head.p_real(np.r_[real, fake]),
        sample_weight=np.r_[np.full(len(real), 1 / len(real)), np.full(len(fake), 1 / len(fake))],
    )
    assert head.brier == pytest.approx(expected)


def test_logits_that_tell_nothing_are_a_coin() -> None:
    same = np.random.default_rng(0).normal(size=500)
    head = calibrate(same, same)
    assert head.brier == pytest.approx(0.25, abs=1e-3)
    constant = calibrate(np.full(9, 3.0), np.full(5, 3.0))
    assert constant.brier == pytest.approx(0.25)
    assert constant.p_real(np.array([3.0])) == pytest.approx(0.5)


def test_extreme_logits_give_a_probability_without_complaint() -> None:
    real, fake = drawn(1.0, 0.0, n=200)
    p = calibrate(real, fake).p_real(np.array([-1e9, 0.0, 1e9]))
    assert p.tolist() == [0.0, pytest.approx(0.5, abs=0.2), 1.0]


def test_perfect_separation_scores_well_and_ranks_right() -> None:
    rng = np.random.default_rng(0)
    head = calibrate(rng.normal(10, 1, 50), rng.normal(-10, 1, 50))
    assert head.brier < 0.02
    assert (np.diff(head.p_real(np.linspace(-20, 20, 50))) > 0).all()

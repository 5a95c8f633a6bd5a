from __future__ import annotations

import pytest

from tasks.contracts.arms import ARMS
from tasks.lift.baseline import Baseline
from tasks.lift.intervals import Interval
from tasks.lift.metrics import METRICS
from tasks.lift.verdict import explain, judge, signed


def lift(mean: float, low: float, high: float) -> Interval:
    return Interval(mean, low, high, 0.1, 9.0, 0.04)


@pytest.mark.parametrize(
    ("mean", "low", "high", "word"),
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
def test_rule(mean, low, high, word):
    assert judge(lift(mean, low, high), 0.5) == word


@pytest.mark.parametrize(
    ("found", "answer", "advice"),
    [
        (lift(2.0, 0.1, 4.0), "Yes: adding filtered GAN images raises", "Use real+classical+filt"),
        (lift(-2.0, -4.0, -0.1), "No, don’t add them: adding filtered GAN", "Stay with real+cl"),
        (lift(0.1, -0.2, 0.4), "Not on this evidence", "practically no effect"),
        (lift(0.3, 0.1, 0.6), "Not on this evidence", "There is a gain, but"),
        (lift(-0.3, -0.6, -0.1), "Not on this evidence", "There is a loss, but"),
        (lift(2.0, -0.2, 4.4), "Not on this evidence", "chance alone"),
    ],
)
def test_words(found, answer, advice):
    verdict = said(found)
    assert verdict.answer.startswith(answer)
    assert "macro F1" in verdict.answer
    assert "95 % interval" in verdict.answer
    assert verdict.answer.endswith("against classical augmentation.")
    assert advice in verdict.advice
    assert "one GAN" not in verdict.advice


def said(found, **changes):
    return explain(
        found,
        **(
            {
                "treatment": "real+classical+filtered",
                "baseline": Baseline("real+classical", True, "real+classical", {}),
                "metric": METRICS["macro_f1"],
                "level": 0.95,
                "smallest_lift_pp": 0.5,
                "gan_luck": True,
            }
            | changes
        ),
    )


@pytest.mark.parametrize("treatment", ARMS)
@pytest.mark.parametrize("mean", [2.0, -2.0, 0.1])
def test_every_arm_has_words_in_either_part(treatment, mean):
    found = lift(mean, mean - 0.5, mean + 0.5)
    for baseline in ARMS:
        rival = Baseline(baseline, False, baseline, {})
        verdict = said(found, treatment=treatment, baseline=rival)
        assert verdict.answer.endswith(", the strongest training without GAN images.")
    assert ("don’t add them" in verdict.answer) == (mean == -2.0 and "filtered" in treatment)


@pytest.mark.parametrize("mean", [2.0, -2.0, 0.1])
def test_a_declared_baseline_that_is_not_the_one_to_beat_is_told(mean):
    found = lift(mean, mean - 0.5, mean + 0.5)
    weak = said(found, baseline=Baseline("real", True, "real+classical+mixup", {}))
    assert "real was declared, and without GAN images real+classical+mixup does" in weak.advice
    for fair in (
        Baseline("real+classical+mixup", True, "real+classical+mixup", {}),
        Baseline("real+classical+mixup", False, "real+classical+mixup", {}),
        Baseline("synthetic only", True, None, {}),
    ):
        assert "declared" not in said(found, baseline=fair).advice


def test_less_log_loss_is_better_and_one_gan_is_told():
    loss = METRICS["log_loss"]
    better, worse = (said(lift(m, m - 1, m + 1), metric=loss, gan_luck=False) for m in (2, -2))
    assert "improves log loss by 2.0 hundredths of a nat" in better.answer
    assert "worsens log loss by 2.0 hundredths of a nat" in worse.answer
    assert "rest on one GAN" in better.advice
    assert "rest on one GAN" in worse.advice
    assert "rest on one GAN" in said(lift(1.0, -1.0, 3.0), gan_luck=False).advice


@pytest.mark.parametrize(
    ("points", "text"),
    [
        (1.26, "+1.3"),
        (-1.26, "−1.3"),
        (0.0, "0.0"),
        (0.04, "+0.04"),
        (-0.04, "−0.04"),
        (1e-9, "0.0"),
    ],
)
def test_signed_never_shows_0_for_what_is_not(points, text):
    assert signed(points) == text

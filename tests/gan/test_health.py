from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tasks.contracts.errors import UserError
from tasks.contracts.evaluation import GanEvaluation, Sample
from tasks.contracts.params.train_gan import Health
from tasks.gan.health import Watch, burst, collapsed_classes, divergence, is_better
from tasks.gan.model import build_gan
from tasks.gan.state import GanOutcome, Tick
from tasks.gan.step import AdversarialStep
from tasks.gan.training import train_gan
from tests.contracts.tiny import shape_set, tiny_params

LIMITS = Health(
    max_rollbacks=2,
    max_logit=50,
    max_gradient=1e4,
    max_burst=20,
    collapse_below=0.3,
    collapse_patience=2,
)


def evaluation(diversity: Sequence[float], **overall: float) -> GanEvaluation:
    by_class = {name: {"diversity": d} for name, d in zip("abc", diversity, strict=False)}
    return GanEvaluation(dict(overall), by_class)


@pytest.mark.parametrize(
    ("curves", "words"),
    [
        ({"loss_g": 1.0, "logit_real": 49.0, "grad_norm_d": 9e3}, None),
        ({"loss_g": 1e9}, None),
        ({"loss_g": float("nan")}, "loss_g is no finite number"),
        ({"grad_norm_g": float("inf")}, "grad_norm_g is no finite number"),
        ({"logit_fake": -51.0}, "logit_fake is -51, past 50"),
        ({"grad_norm_d": 2e4}, r"grad_norm_d is 2e\+04, past 10000"),
    ],
)
def test_divergence_is_named(curves: dict[str, float], words: str | None) -> None:
    reason = divergence(curves, LIMITS)
    assert (reason is None) == (words is None)
    if words is not None:
        assert reason is not None
        assert re.fullmatch(words, reason)


@pytest.mark.parametrize(
    ("before", "curves", "words"),
    [
        ([1.0, 3.0, 2.0, 1.0, 2.0], 40.0, None),
        ([1.0, 3.0, 2.0, 1.0, 2.0], 41.0, "grad_norm_d is 41, where 2 is usual"),
        ([1.0, 2.0, 2.0, 2.0], 1e3, None),  # too early to tell what is usual
        ([2.0, 900.0, 2.0, 2.0, 2.0], 41.0, "grad_norm_d is 41, where 2 is usual"),
    ],
)
def test_a_burst_is_held_against_what_is_usual(
    before: list[float], curves: float, words: str | None
) -> None:
    ticks = [{"grad_norm_d": value, "logit_fake": 1e-9, "grad_norm_g": 7.0} for value in before]
    told = {"grad_norm_d": curves, "logit_fake": 40.0, "grad_norm_g": 7.0}
    assert burst(told, ticks, LIMITS) == words


def test_collapsed_classes_are_named() -> None:
    assert collapsed_classes(evaluation([0.29, 0.31, 1.0]), LIMITS) == ("a",)
    covered = GanEvaluation(
        {},
        {
            "low": {"diversity": 1.0, "coverage": 0.2, "coverage_real": 0.9},
            "low as real": {"diversity": 1.0, "coverage": 0.2, "coverage_real": 0.3},
            "unknown": {"conditioning": 0.0},
            "a few images": {"diversity": 1.0, "spacing": 0.2},
            "some repeated": {"diversity": 1.0, "spacing": 0.4},
        },
    )
    assert collapsed_classes(covered, LIMITS) == ("low", "a few images")


def test_a_hopeless_run_is_stopped_after_patience() -> None:
    watch = Watch(LIMITS)
    bad, good = evaluation([0.1, 0.1, 1.0]), evaluation([0.1, 1.0, 1.0])
    assert [watch.evaluated(1, one) for one in (bad, good, bad, bad)] == [False, False, False, True]
    assert watch.collapsed == ("a", "b")
    assert "2 of 3 classes" in watch.events[-1]


def test_the_rule_decides_which_is_better() -> None:
    low, high = evaluation([1], kid=0.1, coverage=0.2), evaluation([1], kid=0.3, coverage=0.6)
    assert is_better("kid", low, high)
    assert not is_better("kid", high, low)
    assert is_better("coverage", high, low)
    assert not is_better("coverage", low, high)
    assert is_better("last", high, low)
    assert is_better("last", low, high)
    assert is_better("kid", low, None)
    assert is_better("kid", low, low)


def judged(rule: str) -> dict[str, object]:
    return {"every_kimg": 0.016, "features": "in_domain", "keep": rule}


def fail_at(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> list[int]:
    """Make the weights NaN at the given steps, counted over rollbacks; return gentlenesses."""
    true_step, count, gentle = AdversarialStep.step, iter(range(10_000)), []

    def step(self: AdversarialStep, done: float) -> dict[str, torch.Tensor]:
        curves = true_step(self, done)
        gentle.append(self.gentleness)
        if next(count) in steps:
            for weight in self.gan.generator.parameters():
                weight.data.fill_(float("nan"))
            return curves | {"loss_g": torch.tensor(float("nan"))}
        return curves

    monkeypatch.setattr(AdversarialStep, "step", step)
    return gentle


def test_a_diverged_run_goes_back_to_its_last_good_state_and_on_gently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gentle = fail_at(monkeypatch, {4})
    params = tiny_params(train_gan={"tick_kimg": 0.016}).train_gan  # two steps a tick
    train = shape_set(4)
    gan = build_gan(train, params, 0)
    *ticks, outcome = train_gan(gan, train, params, 0)
    assert isinstance(outcome, GanOutcome)
    assert outcome.rollbacks == 1
    assert "back to the last good state" in outcome.events[0]
    kimgs = [tick.kimg for tick in ticks if isinstance(tick, Tick)]
    assert kimgs == [0.016, 0.032, 0.048, 0.064]
    assert gentle == [0] * 6 + [1] * 4
    assert all(bool(w.isfinite().all()) for w in gan.ema.state_dict().values())


def test_a_generator_whose_gradient_vanished_goes_back_to_where_it_had_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the second step of a tick: the tick's mean still looks alive, and its end is dead."""
    true_step, count, gentle = AdversarialStep.step, iter(range(10_000)), []

    def step(self: AdversarialStep, done: float) -> dict[str, torch.Tensor]:
        gentle.append(self.gentleness)
        if next(count) == 5:
            for name, weight in self.gan.generator.named_parameters():
                if name.endswith("to_image.bias"):
                    weight.data.fill_(-1e4)  # black everywhere
        return true_step(self, done)

    monkeypatch.setattr(AdversarialStep, "step", step)
    params = tiny_params(train_gan={"tick_kimg": 0.016}).train_gan
    train = shape_set(4)
    gan = build_gan(train, params, 0)
    *ticks, outcome = train_gan(gan, train, params, 0)
    assert isinstance(outcome, GanOutcome)
    assert outcome.rollbacks == 1
    assert "gradient has vanished" in outcome.events[0]
    assert gentle == [0] * 6 + [1] * 4
    assert all(tick.curves["grad_norm_g"] > 1e-4 for tick in ticks if isinstance(tick, Tick))


@pytest.mark.parametrize(("allowed", "last"), [(2, [0, 1, 2, 2]), (0, [0, 0])])
def test_a_burst_is_taken_back_as_often_as_allowed_and_then_lived_with(
    allowed: int, last: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tick is one step, and the last two of the eight are bursts however often they come."""
    true_step, gentle = AdversarialStep.step, []

    def step(self: AdversarialStep, done: float) -> dict[str, torch.Tensor]:
        curves = true_step(self, done)
        gentle.append(self.gentleness)
        return curves | {"grad_norm_d": torch.tensor(300.0 if done > 5 / 8 else 3.0)}

    monkeypatch.setattr(AdversarialStep, "step", step)
    health = LIMITS.model_dump() | {"max_rollbacks": allowed}
    params = tiny_params(train_gan={"tick_kimg": 0.008, "health": health}).train_gan
    train = shape_set(4)
    *ticks, outcome = train_gan(build_gan(train, params, 0), train, params, 0)
    assert isinstance(outcome, GanOutcome)
    assert outcome.rollbacks == allowed
    assert len(ticks) == 8
    assert all("where 3 is usual" in event for event in outcome.events)
    assert gentle == [0] * 6 + last


def test_too_many_divergences_are_an_error_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    gentle = fail_at(monkeypatch, set(range(2, 99)))
    params = tiny_params(train_gan={"health": LIMITS.model_dump()}).train_gan
    train = shape_set(4)
    with pytest.raises(UserError, match=r"diverged within 0\.032 kimg .*after 2 rollbacks"):
        list(train_gan(build_gan(train, params, 0), train, params, 0))
    assert gentle == [0, 0, 0, 0, 1, 1, 2, 2]


def test_the_best_by_the_rule_is_kept_and_not_the_last() -> None:
    train = shape_set(4)
    params = tiny_params(train_gan={"evaluation": judged("kid")}).train_gan
    seen: list[np.ndarray] = []

    def judge(sample: Sample) -> GanEvaluation:
        seen.append(sample(np.zeros(2, dtype=np.int64)))
        return evaluation([1.0], kid=[0.5, 0.1, 0.3, 0.2][len(seen) - 1])

    gan = build_gan(train, params, 0)
    *_, outcome = train_gan(gan, train, params, 0, evaluate=judge)
    assert isinstance(outcome, GanOutcome)
    assert outcome.kept_kimg == 0.032
    assert outcome.evaluation is not None
    assert outcome.evaluation.overall["kid"] == 0.1
    again: list[np.ndarray] = []
    shorter = tiny_params(train_gan={"evaluation": judged("last"), "total_kimg": 0.064}).train_gan
    other = build_gan(train, shorter, 0)

    def watch(sample: Sample) -> GanEvaluation:
        again.append(sample(np.zeros(2, dtype=np.int64)))
        return evaluation([1.0], kid=0.0)

    list(train_gan(other, train, shorter, 0, evaluate=watch))
    np.testing.assert_array_equal(seen, again)  # being judged does not change the training
    kept = [w.numpy().tobytes() for w in gan.ema.state_dict().values()]
    assert kept != [w.numpy().tobytes() for w in other.ema.state_dict().values()]


def test_a_collapsed_run_stops_early() -> None:
    params = tiny_params(
        train_gan={"evaluation": judged("kid"), "health": LIMITS.model_dump()}
    ).train_gan
    train = shape_set(4)
    gan = build_gan(train, params, 0)
    *ticks, outcome = train_gan(
        gan, train, params, 0, evaluate=lambda _: evaluation([0.0, 0.0, 0.0], kid=1.0)
    )
    assert isinstance(outcome, GanOutcome)
    assert (len(ticks), outcome.stopped_early, outcome.collapsed) == (2, True, ("a", "b", "c"))

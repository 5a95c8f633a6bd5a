"""What is told of sharing, made up: what attacks reach, and a guarantee."""

from __future__ import annotations

import dataclasses
from typing import Any

from tasks.contracts.privacy import Guarantee
from tasks.lift.result import LiftResult
from tasks.lift.sharing import sharing
from tests.answer.fake_report import fake_lift

GUARANTEE = Guarantee(
    epsilon=4.1,
    epsilon_together=8.23,
    delta=1e-5,
    gans=2,
    unit="image",
    units=1200,
    noise_multiplier=0.91,
    max_grad_norm=1.0,
    sample_rate=0.0533,
    steps=2400,
    class_counts="public",
)


def reached(value: float, half: float) -> dict[str, float]:
    return {"value": value, "ci_low": max(value - half, 0), "ci_high": min(value + half, 1)}


def membership(
    nearest: float = 0.65, discriminator: float = 0.71, *, tpr: float | None = 0.031
) -> dict[str, Any]:
    """Content of ``filter.json`` on attacks, whose AUC is given, ± 0.05."""
    return {
        name: {
            "auc": reached(auc, 0.05),
            "tpr": None if tpr is None else reached(tpr, 0.015),
            "members": 1200,
            "non_members": 289,
        }
        for name, auc in (("nearest", nearest), ("discriminator", discriminator))
    }


def shared(attacks: dict[str, Any] | None = None, guarantee: Guarantee | None = None) -> LiftResult:
    """A result of two GANs that tells of sharing."""
    promised = None if guarantee is None else dataclasses.asdict(guarantee)
    found = sharing(
        {"0": {"privacy": promised}, "1": {"privacy": promised}},
        {"membership": membership() if attacks is None else attacks},
    )
    return fake_lift(gans=2).model_copy(update={"sharing": found})

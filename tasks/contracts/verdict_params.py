"""The sections ``retrain`` and ``report`` of ``params.yaml``: the arms and the rule."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from tasks.contracts.arms import ARMS
from tasks.contracts.sections import NonNegative, Positive, Section, Seeds

METRICS = ("balanced_accuracy", "accuracy", "macro_f1", "log_loss")
RECALL = "recall:"  # and the name of a class
STRONGEST = "strongest"


class RetrainParams(Section):
    """The classifier and how every arm trains it.

    Attributes:
        learning_rate: one, or several of which `real+classical` on real/val settles one.
        weight_decay: likewise.
        fractions: shares of the real images (1 is all) that `real+classical` is trained on
            beside, for the curve that says what a lift is worth.
    """

    classifier: str
    weights: str | None
    seeds: Seeds
    steps: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    learning_rate: Positive | Annotated[tuple[Positive, ...], Field(min_length=1)]
    weight_decay: NonNegative | Annotated[tuple[NonNegative, ...], Field(min_length=1)]
    fractions: tuple[Positive, ...]
    flip: bool

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """Return those to try, one at least."""
        return _several(self.learning_rate)

    @property
    def weight_decays(self) -> tuple[float, ...]:
        """Return those to try, one at least."""
        return _several(self.weight_decay)

    @field_validator("fractions")
    @classmethod
    def _distinct(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if 1.0 in shares or len(set(shares)) < len(shares):
            raise ValueError(f"fractions {list(shares)} must differ, and from 1, which always runs")
        return tuple(sorted(shares))

    @model_validator(mode="after")
    def _check(self) -> RetrainParams:
        if len(self.seeds) < 2:
            raise ValueError("seeds needs at least 2 of them: one gives no interval")
        return self


class ReportParams(Section):
    """The rule of the verdict, declared before the result is seen.

    Attributes:
        primary_metric: one of `METRICS`, or ``recall:CLASS``.
        baseline: an arm, or ``strongest``: the arm without synthetic images that is best on
            real/val.
    """

    primary_metric: str
    baseline: str
    treatment: str
    level: Annotated[float, Field(ge=0.5, lt=1.0)]
    smallest_lift_pp: NonNegative
    resamples: int = Field(ge=2000)

    @field_validator("primary_metric")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        if name not in METRICS and not (name.startswith(RECALL) and len(name) > len(RECALL)):
            raise ValueError(f"{name!r} is none of {', '.join(METRICS)}, {RECALL}CLASS")
        return name

    @model_validator(mode="after")
    def _check(self) -> ReportParams:
        if self.baseline not in (STRONGEST, *ARMS):
            raise ValueError(f"baseline {self.baseline!r} is none of {STRONGEST}, {_listed(ARMS)}")
        if self.treatment not in ARMS:
            raise ValueError(f"treatment {self.treatment!r} is none of {_listed(ARMS)}")
        if self.baseline == self.treatment:
            raise ValueError(f"baseline and treatment are both {self.baseline!r}")
        return self


def _several(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)

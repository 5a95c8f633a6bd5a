"""The section ``retrain`` of ``params.yaml``: the classifier, and how every arm trains it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from tasks.contracts.params.sections import NonNegative, Positive, Section, Seeds


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


def _several(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)

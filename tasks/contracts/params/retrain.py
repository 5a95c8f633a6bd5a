"""The section ``retrain`` of ``params.yaml``: the classifier, and how every arm trains it."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from tasks.contracts.params.sections import NonNegative, Positive, Precision, Section, Seeds

ALL = "all"
RecipeName = Literal["plain", "classical", "smoothing", "mixup", "trivial"]
EntryName = Literal["mixed", "pretrain", "decayed"]
BatchNormName = Literal["shared", "separate"]
BUILT_IN = "small_cnn"  # the classifier that needs no library


class RetrainParams(Section):
    """The classifier and how every arm trains it.

    Attributes:
        recipes: names of the training recipes that are tried on real/val without additions, or
            ``all`` that there are; the best one trains every arm.
        steps: optimiser steps of the shortest training that is tried.
        most_steps: of the longest. Between them steps are doubled until the best recipe gains
            less than the standard error of the gain.
        learning_rate: one, or several of which the recipe's best on real/val is settled.
        weight_decay: likewise.
        fractions: shares of the real images (1 is all) that the recipe is trained on beside, for
            the curve that says what a lift is worth.
        schedule: when the images that an arm adds are shown. As many are shown in all, with as
            many real ones and in as many steps: beside them, before them, or fewer and fewer.
        batch_norm: whether added images are normalised in training by the statistics of the whole
            batch or by their own, so that testing goes by those of real images alone.
        precision: of the forward pass in training; weights, sums and judging stay in float32.
    """

    classifier: str
    weights: str | None
    seeds: Seeds
    recipes: Literal["all"] | tuple[RecipeName, ...]
    steps: int = Field(ge=1)
    most_steps: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    learning_rate: Positive | Annotated[tuple[Positive, ...], Field(min_length=1)]
    weight_decay: NonNegative | Annotated[tuple[NonNegative, ...], Field(min_length=1)]
    fractions: tuple[Positive, ...]
    flip: bool
    schedule: EntryName
    batch_norm: BatchNormName
    precision: Precision

    @property
    def recipe_names(self) -> tuple[RecipeName, ...]:
        """Return the recipes to try, each once."""
        every: tuple[RecipeName, ...] = get_args(RecipeName)
        return every if isinstance(self.recipes, str) else tuple(dict.fromkeys(self.recipes))

    @property
    def lengths(self) -> tuple[int, ...]:
        """Return the steps to try, rising: each twice the one before, up to the most."""
        lengths = [self.steps]
        while 2 * lengths[-1] <= self.most_steps:
            lengths.append(2 * lengths[-1])
        return tuple(lengths)

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """Return those to try, one at least."""
        return _several(self.learning_rate)

    @property
    def weight_decays(self) -> tuple[float, ...]:
        """Return those to try, one at least."""
        return _several(self.weight_decay)

    @field_validator("recipes", mode="before")
    @classmethod
    def _some(cls, names: object) -> object:
        if names != ALL and not (isinstance(names, (list, tuple)) and names):
            raise ValueError(f"give {ALL}, or a list of at least one recipe")
        return names

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
        if self.most_steps < self.steps:
            raise ValueError(
                f"most_steps {self.most_steps} is below steps {self.steps}, where doubling starts; "
                "set both to the same number to train for exactly as many"
            )
        return self


def _several(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)

"""The section ``merge`` of ``params.yaml``: how many synthetic images join the real ones."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.contracts.params.sections import Positive, Section


class MergeParams(Section):
    """How many synthetic images join the real ones.

    Attributes:
        target_per_class: ``ratio`` adds `synthetic_per_real`, as many of every class; a number
            brings every class up to so many images, ``balance`` to as many as the most frequent
            class has, and a class that has them already is given none.
        synthetic_per_real: images of one GAN for every real one; ``ratio`` alone goes by it.
    """

    target_per_class: Literal["ratio", "balance"] | Annotated[int, Field(ge=2)]
    synthetic_per_real: Positive

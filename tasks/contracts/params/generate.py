"""The section ``generate`` of ``params.yaml``: how many images each GAN makes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.contracts.params.sections import Section


class GenerateParams(Section):
    """How many images each checkpoint makes.

    Attributes:
        per_class: of every class; ``auto`` makes `per_needed` times what the merge asks of it.
        per_needed: images made for each that is asked for, since the filter rejects some: 1 or
            more. It is the budget too, no more are made where it proves too small.
    """

    per_class: Literal["auto"] | Annotated[int, Field(ge=1)]
    per_needed: float = Field(ge=1.0, le=1000.0)

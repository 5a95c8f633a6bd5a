"""What every section of ``params.yaml`` is made of: a frozen model and ranges of numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds {list(seeds)} must differ: an equal seed repeats a run")
    return seeds


Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Seeds = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), AfterValidator(_distinct)
]
Precision = Literal["float32", "bfloat16"]


class Section(BaseModel):
    """A frozen section of ``params.yaml`` that knows its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

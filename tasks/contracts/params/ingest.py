"""The section ``ingest`` of ``params.yaml``: where images come from and how they are split."""

from __future__ import annotations

import math
import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.contracts.params.sections import Section, Share


class IngestParams(Section):
    """Where the images come from and how they are cut and split."""

    source: str
    image_size: int = Field(ge=8, le=1024)
    channels: Literal["auto", 1, 3]
    fit: Literal["pad", "crop", "stretch"]
    val_share: Annotated[float, Field(gt=0.0, lt=1.0)]
    test_share: Annotated[float, Field(gt=0.0, lt=1.0)]
    folds: Annotated[int, Field(ge=2, le=20)] | None
    per_class: Annotated[int, Field(ge=2)] | None
    imbalance: Annotated[float, Field(ge=1.0, allow_inf_nan=False)]
    label_fraction: Annotated[float, Field(gt=0.0, le=1.0)]
    max_reject_share: Share
    group_pattern: str | None
    frames: Literal["first", "all"]
    twins: Annotated[float, Field(ge=0.5, lt=1.0)] | None
    on_leak: Literal["drop", "refuse"]

    @model_validator(mode="after")
    def _check(self) -> IngestParams:
        if self.image_size & (self.image_size - 1):
            nearest = 2 ** round(math.log2(self.image_size))
            raise ValueError(f"image_size {self.image_size} is not a power of two; try {nearest}")
        if self.val_share + self.test_share >= 1.0:
            raise ValueError(
                "val_share + test_share must stay below 1, or nothing is left to train"
            )
        if self.folds is not None and self.val_share + 1 / self.folds >= 1.0:
            raise ValueError(
                f"val_share and a fold of {self.folds} leave nothing to train on; lower val_share"
            )
        if self.group_pattern is not None:
            try:
                re.compile(self.group_pattern)
            except re.error as error:
                raise ValueError(
                    f"group_pattern {self.group_pattern!r} is no regular expression: {error}"
                ) from None
        return self

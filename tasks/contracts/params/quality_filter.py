"""The section ``quality_filter`` of ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tasks.contracts.params.sections import Section, Share

_ABOVE_0 = Annotated[float, Field(gt=0.0, le=1.0)]


class QualityFilterParams(Section):
    """What a synthetic image must reach; every threshold is set on real images, by class."""

    folds: int = Field(ge=2)
    classifier_steps: int = Field(ge=1)
    calibration: Literal["logistic", "isotonic"]
    select: Literal["threshold", "top_share", "rejection_sampling", "informative"]
    p_real_quantile: Share
    top_share: _ABOVE_0
    confidence_quantile: Share
    margin_quantile: Share
    agreement: bool
    realism_quantile: Share
    reject_copies: bool
    copy_quantile: Share
    authentic: bool
    labels: Literal["hard", "ensemble"]
    per_class: Annotated[int, Field(ge=1)] | None
    diversity: Literal["none", "farthest_point", "density"]
    tune: bool

    @model_validator(mode="after")
    def _check(self) -> QualityFilterParams:
        if self.diversity != "none" and self.per_class is None and not self.tune:
            raise ValueError(
                f"diversity {self.diversity} chooses which images fill a quota: set per_class"
            )
        return self

"""The section ``validate`` of ``params.yaml``: what the gate asks of the real images."""

from __future__ import annotations

from pydantic import Field

from tasks.contracts.params.sections import NonNegative, Section


class ValidateParams(Section):
    """What the Great Expectations gate asks of the real images."""

    min_train_per_class: int = Field(ge=2)
    min_val_per_class: int = Field(ge=1)
    min_test_per_class: int = Field(ge=1)
    min_pixel_std: NonNegative

"""The section ``validate`` of ``params.yaml``: what the gate asks of the real images."""

from __future__ import annotations

from pydantic import Field

from tasks.contracts.params.sections import NonNegative, Positive, Section, Share


class ValidateParams(Section):
    """What the Great Expectations gate asks of the real images.

    The ``min_`` settings close the gate, the others only warn.
    """

    min_train_per_class: int = Field(ge=2)
    min_val_per_class: int = Field(ge=1)
    min_test_per_class: int = Field(ge=1)
    min_pixel_std: NonNegative
    useful_train_per_class: int = Field(ge=1)
    useful_val_per_class: int = Field(ge=1)
    useful_test_per_class: int = Field(ge=1)
    max_robust_z: Positive
    max_drift: Share
    max_suspect_share: Share

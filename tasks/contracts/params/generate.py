"""The section ``generate`` of ``params.yaml``: how many images each GAN makes."""

from __future__ import annotations

from pydantic import Field

from tasks.contracts.params.sections import Section


class GenerateParams(Section):
    """How many images each checkpoint makes."""

    per_class: int = Field(ge=1)

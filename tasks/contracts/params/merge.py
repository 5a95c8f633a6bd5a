"""The section ``merge`` of ``params.yaml``: how many synthetic images join the real ones."""

from __future__ import annotations

from tasks.contracts.params.sections import Positive, Section


class MergeParams(Section):
    """How many synthetic images join the real ones."""

    synthetic_per_real: Positive

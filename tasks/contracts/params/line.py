"""The whole of ``params.yaml``: what flows read, and what no stage depends on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from tasks.contracts.params.generate import GenerateParams
from tasks.contracts.params.ingest import IngestParams
from tasks.contracts.params.merge import MergeParams
from tasks.contracts.params.quality_filter import QualityFilterParams
from tasks.contracts.params.reading import FILE, checked, read_values
from tasks.contracts.params.report import ReportParams
from tasks.contracts.params.retrain import RetrainParams
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.contracts.params.validate import ValidateParams


# A dataclass, because a pydantic model cannot have a field called `validate`.
@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Params:
    """The whole of ``params.yaml``: one section a stage, and the root seed."""

    seed: Annotated[int, Field(ge=0)]
    ingest: IngestParams
    validate: ValidateParams
    train_gan: TrainGanParams
    generate: GenerateParams
    quality_filter: QualityFilterParams
    merge: MergeParams
    retrain: RetrainParams
    report: ReportParams

    @model_validator(mode="after")
    def _check(self) -> Params:
        counts = self.train_gan.privacy.class_counts
        if self.train_gan.private and counts == "noised" and self.generate.per_class == "auto":
            raise ValueError(
                "generate.per_class auto follows the number of training images of each class, "
                "which train_gan.privacy.class_counts noised hides; give a number"
            )
        return self


def parse_params(values: Mapping[str, Any], name: str = "params.yaml") -> Params:
    """Check plain values and return them frozen.

    Raises:
        UserError: an unknown key (the nearest valid one is named), a missing key, or a value
            of the wrong type or range.
    """
    params: Params = checked(Params, dict(values), name)
    return params


def load_params(path: Path = FILE) -> Params:
    """Read and check ``params.yaml``.

    Raises:
        UserError: no such file, no YAML, or what `parse_params` refuses.
    """
    return parse_params(read_values(path), str(path))

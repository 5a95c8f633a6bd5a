"""The only reader of ``params.yaml``: one frozen section a stage, every key checked."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass

from tasks.contracts.errors import UserError
from tasks.contracts.filter_params import QualityFilterParams
from tasks.contracts.gan_params import TrainGanParams
from tasks.contracts.sections import NonNegative, Positive, Section, Share
from tasks.contracts.verdict_params import ReportParams, RetrainParams


class IngestParams(Section):
    """Where the images come from and how they are cut and split."""

    source: str
    image_size: int = Field(ge=8, le=1024)
    channels: Literal["auto", 1, 3]
    fit: Literal["pad", "crop", "stretch"]
    val_share: Annotated[float, Field(gt=0.0, lt=1.0)]
    test_share: Annotated[float, Field(gt=0.0, lt=1.0)]
    per_class: Annotated[int, Field(ge=2)] | None
    imbalance: Annotated[float, Field(ge=1.0, allow_inf_nan=False)]
    label_fraction: Annotated[float, Field(gt=0.0, le=1.0)]
    max_reject_share: Share

    @model_validator(mode="after")
    def _check(self) -> IngestParams:
        if self.image_size & (self.image_size - 1):
            nearest = 2 ** round(math.log2(self.image_size))
            raise ValueError(f"image_size {self.image_size} is not a power of two; try {nearest}")
        if self.val_share + self.test_share >= 1.0:
            raise ValueError(
                "val_share + test_share must stay below 1, or nothing is left to train"
            )
        return self


class ValidateParams(Section):
    """What the Great Expectations gate asks of the real images."""

    min_train_per_class: int = Field(ge=2)
    min_val_per_class: int = Field(ge=1)
    min_test_per_class: int = Field(ge=1)
    min_pixel_std: NonNegative


class GenerateParams(Section):
    """How many images each checkpoint makes."""

    per_class: int = Field(ge=1)


class MergeParams(Section):
    """How many synthetic images join the real ones."""

    synthetic_per_real: Positive


# A dataclass, because a pydantic model cannot have a field called `validate`.
@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Params:
    """The whole of ``params.yaml``: one field a stage, and the root seed."""

    seed: Annotated[int, Field(ge=0)]
    ingest: IngestParams
    validate: ValidateParams
    train_gan: TrainGanParams
    generate: GenerateParams
    quality_filter: QualityFilterParams
    merge: MergeParams
    retrain: RetrainParams
    report: ReportParams


def parse_params(values: Mapping[str, Any], name: str = "params.yaml") -> Params:
    """Check plain values and return them frozen.

    Raises:
        UserError: an unknown key (the nearest valid one is named), a missing key, or a value
            of the wrong type or range.
    """
    try:
        return TypeAdapter(Params).validate_python(dict(values))
    except ValidationError as error:
        raise _explain(error, values, name) from None


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check ``params.yaml``.

    Raises:
        UserError: no such file, no YAML, or what `parse_params` refuses.
    """
    if not path.is_file():
        raise UserError(str(path), "no such file", "Run from the project's root folder")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(str(path), f"not readable as YAML ({error})", "Mend the file") from None
    if not isinstance(values, dict):
        raise UserError(
            str(path), "holds no sections", "Restore it with `git checkout params.yaml`"
        )
    return parse_params(values, str(path))


def _explain(error: ValidationError, values: Mapping[str, Any], name: str) -> UserError:
    """Turn one of pydantic's findings into thing, reason and mend.

    An unknown key comes first: a mistyped one is also missing under its right name.
    """
    unknown = ("extra_forbidden", "unexpected_keyword_argument")
    findings = error.errors(include_url=False)
    finding = next((one for one in findings if one["type"] in unknown), findings[0])
    path = [str(part) for part in finding["loc"]]
    key = ".".join(path) or name
    kind = finding["type"]
    if kind in unknown:
        near = difflib.get_close_matches(path[-1], _keys_of(path[:-1]), n=1, cutoff=0.0)[0]
        nearest = ".".join([*path[:-1], near])
        return UserError(f"{name}: {key}", "unknown key", f"The nearest valid key is {nearest}")
    if kind in ("missing", "missing_argument"):
        return UserError(
            f"{name}: {key}", "missing", "Add it; `git diff params.yaml` shows what is gone"
        )
    reason = finding["msg"].removeprefix("Value error, ")
    given = "" if kind == "value_error" else f" (given: {finding['input']!r})"
    return UserError(f"{name}: {key}", f"{reason}{given}", "Correct the value")


def _keys_of(path: Sequence[str]) -> list[str]:
    """Return the valid keys of the section at ``path``, or of the root."""
    keys: Mapping[str, Any] = Params.__dataclass_fields__
    for step, name in enumerate(path):
        section = keys[name].type if step == 0 else keys[name].annotation
        keys = (globals()[section] if isinstance(section, str) else section).model_fields
    return list(keys)

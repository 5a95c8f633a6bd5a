"""The only reader of ``params.yaml``: one frozen section a stage, every key checked."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass

from tasks.contracts.errors import UserError


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

ARMS = (
    "real",
    "real+classical",
    "real+classical+control",
    "real+classical+filtered",
    "synthetic only",
)
Arm = Literal[
    "real",
    "real+classical",
    "real+classical+control",
    "real+classical+filtered",
    "synthetic only",
]
Metric = Literal["balanced_accuracy", "accuracy", "macro_f1"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IngestParams(_Section):
    """Where the images come from and how they are cut and split."""

    source: str
    image_size: int = Field(ge=8, le=1024)
    channels: Literal["auto", 1, 3]
    fit: Literal["pad", "crop", "stretch"]
    val_share: Annotated[float, Field(gt=0.0, lt=1.0)]
    test_share: Annotated[float, Field(gt=0.0, lt=1.0)]
    per_class: Annotated[int, Field(ge=2)] | None
    imbalance: Annotated[float, Field(ge=1.0, allow_inf_nan=False)]
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


class ValidateParams(_Section):
    """What the Great Expectations gate asks of the real images."""

    min_train_per_class: int = Field(ge=2)
    min_val_per_class: int = Field(ge=1)
    min_test_per_class: int = Field(ge=1)
    min_pixel_std: NonNegative


class TrainGanParams(_Section):
    """The conditional GAN. Durations are counted in thousands of real images shown (kimg)."""

    seeds: Seeds
    network: str
    latent_dim: int = Field(ge=2)
    width: int = Field(ge=4)
    total_kimg: Positive
    batch_size: int = Field(ge=4)
    learning_rate: Positive
    beta2: Annotated[float, Field(gt=0.0, lt=1.0)]
    loss: str
    r1_gamma: NonNegative
    r2_gamma: NonNegative
    mode_seeking: NonNegative
    diffaug: tuple[Literal["translation", "cutout", "color"], ...]
    ema_halflife_kimg: Positive
    tick_kimg: Positive
    grid_kimg: Positive


class GenerateParams(_Section):
    """How many images each checkpoint makes."""

    per_class: int = Field(ge=1)


class QualityFilterParams(_Section):
    """What a synthetic image must reach; thresholds are per class, set on real images."""

    folds: int = Field(ge=2)
    classifier_steps: int = Field(ge=1)
    p_real_quantile: Share
    confidence_quantile: Share
    copy_quantile: Share


class MergeParams(_Section):
    """How many synthetic images join the real ones."""

    synthetic_per_real: Positive


class RetrainParams(_Section):
    """The classifier and how every arm trains it."""

    classifier: str
    seeds: Seeds
    steps: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    learning_rate: Positive
    weight_decay: NonNegative
    flip: bool

    @model_validator(mode="after")
    def _check(self) -> RetrainParams:
        if len(self.seeds) < 2:
            raise ValueError("seeds needs at least 2 of them: one gives no interval")
        return self


class ReportParams(_Section):
    """The rule of the verdict, declared before the result is seen."""

    primary_metric: Metric
    baseline: Arm
    treatment: Arm
    level: Annotated[float, Field(ge=0.5, lt=1.0)]
    smallest_lift_pp: NonNegative
    resamples: int = Field(ge=2000)

    @model_validator(mode="after")
    def _check(self) -> ReportParams:
        if self.baseline == self.treatment:
            raise ValueError(f"baseline and treatment are both {self.baseline!r}")
        return self


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
        section = path[0] if len(path) > 1 else None
        valid = _keys_of(section)
        near = difflib.get_close_matches(path[-1], valid, n=1, cutoff=0.0)[0]
        nearest = f"{section}.{near}" if section else near
        return UserError(f"{name}: {key}", "unknown key", f"The nearest valid key is {nearest}")
    if kind in ("missing", "missing_argument"):
        return UserError(f"{name}: {key}", "missing", "Add it; the README lists every key")
    reason = finding["msg"].removeprefix("Value error, ")
    given = "" if kind == "value_error" else f" (given: {finding['input']!r})"
    return UserError(f"{name}: {key}", f"{reason}{given}", "Correct the value")


def _keys_of(section: str | None) -> list[str]:
    """Return the valid keys of a section, or of the root."""
    annotations = Params.__dataclass_fields__
    if section is None or section not in annotations:
        return list(annotations)
    model = TypeAdapter(Params).json_schema()["properties"][section]["$ref"].rsplit("/", 1)[-1]
    return list(TypeAdapter(Params).json_schema()["$defs"][model]["properties"])

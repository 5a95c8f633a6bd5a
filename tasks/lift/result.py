"""``lift.json``: everything that was found, as one model, schema ``ganlift/lift/3``.

Metrics and recalls are shares of 1, log loss is in nats. Whatever ends in ``_pp`` is in the
``unit`` of the primary metric, and more of it is better. Numbers are rounded as they enter, so
that the verdict is taken on what a reader of the file sees. `docs/lift.schema.json` is the schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from tasks.contracts.errors import UserError
from tasks.lift.intervals import Interval

_DIGITS = 6
_MEND = "Run `ganlift run`, which makes it anew"

Verdict = Literal["helps", "hurts", "inconclusive"]
Rounded = Annotated[float, AfterValidator(lambda value: round(float(value), _DIGITS))]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class Estimate(_Part):
    """A mean over runs and the ends of its confidence interval."""

    mean: Rounded
    ci_low: Rounded
    ci_high: Rounded

    @classmethod
    def of(cls, found: Interval, **others: float) -> Any:
        """Return the estimate that an interval gives; fields of its own come by name."""
        return cls(mean=found.mean, ci_low=found.low, ci_high=found.high, **others)


class ContrastLift(Estimate):
    """A lift with the p-value of no effect."""

    p_value: Rounded


class Lift(Estimate):
    """What the verdict rests on: level of the interval, its p-value, df and standard error."""

    level: float
    p_value: Rounded
    df: Rounded
    se: Rounded


class BaselineChoice(_Part):
    """How the baseline was chosen, and the primary metric on real/val of the candidates."""

    rule: Literal["strongest", "declared"]
    val: dict[str, Rounded]


class NoiseSpread(_Part):
    """Standard deviations of the lift, by the draw of runs (GANs, seeds) and of test images."""

    runs: Rounded
    images: Rounded


class Rule(_Part):
    """What was declared beforehand: the smallest lift that matters; and bootstrap resamples."""

    smallest_lift_pp: float
    resamples: int


class Settle(_Part):
    """How many of one thing alone would carry the interval past 0, None where it cannot."""

    gans: int | None
    seeds: int | None
    test_images: int | None


class ArmContrast(_Part):
    """A secondary comparison: an arm over another, with Holm's corrected p-value."""

    arm: str
    over: str
    lift_pp: ContrastLift
    p_holm: Rounded


class SeedPair(_Part):
    """Treatment and baseline of one seed: test images that one alone got right (McNemar)."""

    seed: int
    gan_seed: int | None
    treatment_only: int
    baseline_only: int
    p_value: Rounded


class Spread(_Part):
    """A value of every run, their mean and standard deviation."""

    mean: Rounded
    std: Rounded
    values: tuple[Rounded, ...]


class Measured(Spread):
    """A metric on the test images, with the interval of its mean."""

    ci_low: Rounded
    ci_high: Rounded


class Mean(_Part):
    """A mean over runs alone."""

    mean: Rounded


class ImagesShown(_Part):
    """Images that the average run of an arm was shown over all its steps, with repeats."""

    real: int
    added: int


class ArmResult(_Part):
    """One arm: its metrics by their keys, calibration error, primary metric on real/val."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Measured]

    ece: Spread
    val: Mean
    shown: ImagesShown

    def __getitem__(self, metric: str) -> Measured:
        return self.__pydantic_extra__[metric]

    def __contains__(self, metric: str) -> bool:
        return metric in self.__pydantic_extra__

    @model_serializer(mode="wrap")
    def _metrics_first(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        own = {name: written.pop(name) for name in ("ece", "val", "shown") if name in written}
        return written | own


class CurvePoint(_Part):
    """`REAL` on one number of real images: its primary metric, and that of the rising curve."""

    arm: str
    real_images: int
    mean: Rounded
    ci_low: Rounded
    ci_high: Rounded
    rising: Rounded


class Worth(_Part):
    """What the lift is worth in real images, all trained with the settled recipe.

    Attributes:
        real_images: number with which `REAL` is by the lift better than with those it has;
            more of them exactly where the lift is above 0. None beyond the curve.
        low: lower end of its interval, None where it lies below the curve; the curve's end
            where it lies above.
        high: upper end likewise, None where it lies above the curve.
        beyond: at which end `real_images` left the curve.
        have: real images that every arm trains on.
        reached: the primary metric of the rising curve at `have`, plus the lift.
        curve: the primary metric by rising number of real images.
    """

    real_images: int | None
    low: int | None
    high: int | None
    beyond: Literal["above", "below"] | None
    have: int
    reached: Estimate
    curve: tuple[CurvePoint, ...]

    @property
    def ends(self) -> tuple[int, int]:
        """Fewest and most real images on the curve."""
        numbers = [point.real_images for point in self.curve]
        return min(numbers), max(numbers)


class MoreReal(_Part):
    """The most real images that `REAL` ran on, and its lift with them."""

    real_images: int
    lift_pp: Estimate


class ClassResult(_Part):
    """One class: mean recall in both arms, the lift in percentage points, and its images."""

    baseline_recall: Rounded
    treatment_recall: Rounded
    lift_pp: Estimate
    train_images: int
    test_images: int
    rare: bool


class GanFlags(_Part):
    """What has to be known of a GAN: collapsed classes, rollbacks, unlabelled images used."""

    collapsed: tuple[str, ...]
    rollbacks: int
    stopped_early: bool
    pseudo_labelled: int


class ImageCounts(_Part):
    """How many of everything: images (synthetic ones by GAN seed), seeds, GANs behind runs."""

    classes: int
    train: int
    synthetic: dict[str, int]
    control: int
    test: int
    seeds: int
    gan_seeds: int


class Seeds(_Part):
    """Seeds of classifiers, and of the GANs that the treatment rests on."""

    classifier: tuple[int, ...]
    gan: tuple[int, ...]


class KeptClassifier(_Part):
    """The classifier that ``retrain`` kept, and its metrics."""

    arm: str
    seed: int
    gan_seed: int | None
    sha256: str
    test: dict[str, float]
    val: dict[str, float]


class SettlingRow(_Part):
    """A training that was tried without additions, judged on real/val alone.

    Attributes:
        val_balanced_accuracy: mean over the seeds, 0 to 1; None where training diverged.
        standard_error: of that mean.
        seeds: how many classifiers were trained.
        chosen: every arm trains like this.
    """

    recipe: str
    steps: int
    learning_rate: float
    weight_decay: float
    val_balanced_accuracy: Rounded | None
    standard_error: Rounded | None
    seeds: int
    chosen: bool


class Classifier(_Part):
    """The classifier of every arm, how it is trained, and the one that was kept.

    Attributes:
        recipe: how every arm trains; arms differ in what they add alone.
        steps: optimiser steps of every run.
        settling: what was tried on real/val, in that order; empty where all was declared.
        settled_by: ``plateau``: twice the steps gained less than the standard error of that
            gain; ``most_steps``: the limit was reached while accuracy still rose; or
            ``declared`` in ``params.yaml``.
        gain: what the last doubling of the steps gained in balanced accuracy on real/val.
        gain_standard_error: of that gain.
    """

    name: str
    recipe: str
    steps: int
    learning_rate: float
    weight_decay: float
    settling: tuple[SettlingRow, ...]
    settled_by: Literal["plateau", "most_steps", "declared"]
    gain: Rounded | None
    gain_standard_error: Rounded | None
    kept: KeptClassifier | None


class Digests(_Part):
    """Sha256 of the images that were trained and judged on."""

    merged: str
    test: str


class LiftResult(_Part):
    """The result of a whole run.

    Attributes:
        answer: the answer in one sentence, and `advice` what to do about it in another; both
            come from `tasks.answer.words` and are empty before.
        gan_luck: the interval covers the luck of the GANs.
        power: of the design at a true lift of `mde_pp`.
        settle: None where the verdict is settled, or the mean too small to matter.
        filter_lift_pp: filtered minus unfiltered, the filter's own part, if both arms ran.
        arm_lift_pp: every other arm minus the baseline. Exploratory: no claim rests on them.
        comparisons: the secondary ones.
        arms: those that were compared; fractions of the real images stand in `worth` alone.
    """

    schema_: Literal["ganlift/lift/3"] = Field("ganlift/lift/3", alias="schema")
    verdict: Verdict
    answer: str = ""
    advice: str = ""
    primary_metric: str
    metric_name: str
    unit: str
    baseline: str
    baseline_choice: BaselineChoice
    treatment: str
    lift_pp: Lift
    noise_pp: NoiseSpread
    gan_luck: bool
    rule: Rule
    power: float
    mde_pp: Rounded
    settle: Settle | None
    filter_lift_pp: Estimate | None
    arm_lift_pp: dict[str, Estimate]
    comparisons: tuple[ArmContrast, ...]
    mcnemar: tuple[SeedPair, ...]
    arms: dict[str, ArmResult]
    worth: Worth | None
    more_real: MoreReal | None
    per_class: dict[str, ClassResult]
    gans: dict[str, GanFlags]
    counts: ImageCounts
    seeds: Seeds
    classifier: Classifier
    digests: Digests

    @property
    def less_is_better(self) -> bool:
        """The primary metric is a loss: its values are nats, and lifts have its sign turned."""
        return self.primary_metric == "log_loss"

    def primary(self, arm: str) -> Measured:
        """Return the primary metric of an arm."""
        return self.arms[arm][self.primary_metric]

    @classmethod
    def load(cls, path: Path) -> LiftResult:
        """Read ``lift.json``.

        Raises:
            UserError: it is missing, damaged or of another schema.
        """
        try:
            return cls.parse(path.read_text(encoding="utf-8"), str(path))
        except OSError as error:
            raise UserError(str(path), f"cannot be read ({error})", _MEND) from None

    @classmethod
    def parse(cls, content: str | Mapping[str, Any] | LiftResult, name: str) -> LiftResult:
        """Return a ``lift.json``, text or content, that an error calls by a name.

        Raises:
            UserError: it is damaged or of another schema.
        """
        try:
            if isinstance(content, str):
                return cls.model_validate_json(content)
            return cls.model_validate(content)
        except ValidationError as error:
            found = error.errors()[0]
            where = ".".join(map(str, found["loc"])) or "the file"
            reason = f"is no result of schema ganlift/lift/3 ({where}: {found['msg']})"
            raise UserError(name, reason, _MEND) from None

    def dumps(self) -> str:
        """Return the text of ``lift.json``."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def schema_text() -> str:
    """Return the JSON Schema of ``lift.json``, as ``docs/lift.schema.json`` publishes it."""
    return json.dumps(LiftResult.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path("docs/lift.schema.json").write_text(schema_text(), encoding="utf-8")

"""The parts of ``lift.json``, one model each.

Metrics and recalls are shares of 1, log loss is in nats. Whatever ends in ``_pp`` is in the
``unit`` of the primary metric, and more of it is better. Numbers are rounded as they enter, so
that the verdict is taken on what a reader of the file sees.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from tasks.lift.intervals import Interval

_DIGITS = 6

Verdict = Literal["helps", "hurts", "inconclusive"]
Rounded = Annotated[float, AfterValidator(lambda value: round(float(value), _DIGITS))]


class Part(BaseModel):
    """What all parts share: frozen, and no field beyond its own."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class Estimate(Part):
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


class BaselineChoice(Part):
    """How the baseline was chosen, and the primary metric on real/val of the candidates."""

    rule: Literal["strongest", "declared"]
    val: dict[str, Rounded]


class NoiseSpread(Part):
    """Standard deviations of the lift, by the draw of runs (GANs, seeds) and of test images."""

    runs: Rounded
    images: Rounded


class Rule(Part):
    """What was declared beforehand: the smallest lift that matters; and bootstrap resamples."""

    smallest_lift_pp: float
    resamples: int


class Settle(Part):
    """How many of one thing alone would carry the interval past 0, None where it cannot."""

    gans: int | None
    seeds: int | None
    test_images: int | None


class ArmContrast(Part):
    """A secondary comparison: an arm over another, with Holm's corrected p-value."""

    arm: str
    over: str
    lift_pp: ContrastLift
    p_holm: Rounded


class SeedPair(Part):
    """Treatment and baseline of one seed: test images that one alone got right (McNemar)."""

    seed: int
    gan_seed: int | None
    treatment_only: int
    baseline_only: int
    p_value: Rounded


class Spread(Part):
    """A value of every run, their mean and standard deviation."""

    mean: Rounded
    std: Rounded
    values: tuple[Rounded, ...]


class Measured(Spread):
    """A metric on the test images, with the interval of its mean."""

    ci_low: Rounded
    ci_high: Rounded


class Mean(Part):
    """A mean over runs alone."""

    mean: Rounded


class ImagesShown(Part):
    """Images that the average run of an arm was shown over all its steps, with repeats."""

    real: int
    added: int


class Floor(Part):
    """A metric of two who never look at an image, see `tasks.lift.floors`.

    Attributes:
        chance: of answering each class equally often.
        majority: of always answering the most frequent class; None for the recall of one class.
    """

    chance: Rounded
    majority: Rounded | None


class RarestClasses(Part):
    """The third of the classes with the fewest real training images, and the lift in their recall.

    Attributes:
        classes: their names, fewest images first.
        lift_pp: of the mean of their recalls, in percentage points.
    """

    classes: tuple[str, ...]
    lift_pp: Estimate


class ArmResult(Part):
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


class CurvePoint(Part):
    """`REAL` on one number of real images: its primary metric, and that of the rising curve."""

    arm: str
    real_images: int
    mean: Rounded
    ci_low: Rounded
    ci_high: Rounded
    rising: Rounded


class Worth(Part):
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


class MoreReal(Part):
    """The most real images that `REAL` ran on, and its lift with them."""

    real_images: int
    lift_pp: Estimate


class ClassResult(Part):
    """One class: mean recall in both arms, the lift in percentage points, and its images."""

    baseline_recall: Rounded
    treatment_recall: Rounded
    lift_pp: Estimate
    train_images: int
    test_images: int
    rare: bool


class GanFlags(Part):
    """What has to be known of a GAN: collapsed classes, rollbacks, unlabelled images used.

    Attributes:
        kimg: how long it was trained, in thousands of real images shown.
        conditioning: share of its images for which a classifier predicts the requested class.
        conditioning_real: the same classifier's balanced accuracy on held-out real images.
        coverage: share of held-out real images that one of its images is near to.
        left_out: whether the filter accepted none of its images, so that no arm has any.
    """

    collapsed: tuple[str, ...]
    rollbacks: int
    stopped_early: bool
    pseudo_labelled: int
    kimg: Rounded
    conditioning: Rounded | None
    conditioning_real: Rounded | None = None
    coverage: Rounded | None
    left_out: bool = False


class ImageCounts(Part):
    """How many of everything: images (synthetic ones by GAN seed), seeds, GANs behind runs."""

    classes: int
    train: int
    synthetic: dict[str, int]
    control: int
    test: int
    seeds: int
    gan_seeds: int


class Seeds(Part):
    """Seeds of classifiers, and of the GANs that the treatment rests on."""

    classifier: tuple[int, ...]
    gan: tuple[int, ...]


class KeptClassifier(Part):
    """The classifier that ``retrain`` kept, and its metrics."""

    arm: str
    seed: int
    gan_seed: int | None
    sha256: str
    test: dict[str, float]
    val: dict[str, float]


class SettlingRow(Part):
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


class Pretraining(Part):
    """Whether arms start from training on related classes, as was settled on real/val.

    Attributes:
        images: of related classes.
        classes: how many these are.
        steps: of that training.
        from_scratch: balanced accuracy on real/val of the best that was settled from random
            weights, 0 to 1.
        pretrained: likewise, from classifiers of related classes.
        used: the latter is better, and every arm starts from it.
    """

    images: int
    classes: int
    steps: int
    from_scratch: Rounded
    pretrained: Rounded
    used: bool


class Classifier(Part):
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
        pretraining: on related classes; None without such, or over folds that differ in it.
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
    pretraining: Pretraining | None = None
    kept: KeptClassifier | None


class FoldLift(Part):
    """What one fold of a cross-validation found by itself, and how its arms were trained.

    Attributes:
        fold: its number, from 1.
        baseline: the arm that it would compare with, chosen on its own real/val.
    """

    fold: int
    verdict: Verdict
    lift_pp: Estimate
    baseline: str
    recipe: str
    steps: int
    train_images: int
    test_images: int


class Digests(Part):
    """Sha256 of the images that were trained and judged on."""

    merged: str
    test: str

"""Can this run answer at all? What speaks against it, with each figure and its threshold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tasks.answer import words
from tasks.lift.parts import Floor, GanFlags
from tasks.lift.result import LiftResult

FEWEST_TEST_IMAGES = 20  # fewer: one image is more than 5 points of its class's recall
LEAST_CONDITIONING = 0.7  # of what real images reach; below: three in ten carry a wrong label
LEAST_COVERAGE = 0.5  # below: most held-out real images have no GAN image near them
MOST_DETECTABLE = 3.0  # times the smallest lift that matters: a study this coarse misses most lifts
_MOST_NAMED = 5  # classes in a sentence; the table of classes has all
_MOST_GANS = 4  # with a line of its own each


def doubts(result: LiftResult) -> list[str]:
    """Return a sentence for each thing that makes the answer worth little; empty if there is none.

    No threshold here touches the verdict.
    """
    return [
        *_near_floor(result),
        *_little_to_judge_by(result),
        *_poor_gans(result),
        *_unhealthy_gans(result),
        *_too_short(result),
        *_too_coarse(result),
    ]


def floor_of(result: LiftResult, metric: str) -> tuple[str, float]:
    """Return the harder of the two floors of a metric: what it stands for, and its value."""
    of = result.floors[metric]
    chance = ("guessing", of.chance)
    if of.majority is None:
        return chance
    harder = of.majority < of.chance if metric == "log_loss" else of.majority > of.chance
    return (majority_deed(result, metric), of.majority) if harder else chance


def majority_deed(result: LiftResult, metric: str) -> str:
    """Return what the one does whose metric is the majority floor."""
    if metric == "log_loss":
        return "giving every image the shares of the classes"
    return f"always answering ‘{result.majority_class}’"


def floors_in_words(result: LiftResult) -> str:
    """Return both floors of the primary metric: ``guessing reaches 10.0 %``."""
    metric = result.primary_metric
    of: Floor = result.floors[metric]
    said = f"Guessing reaches {words.value(of.chance, metric)}"
    if of.majority is None:
        return said
    return f"{said}, {majority_deed(result, metric)} {words.value(of.majority, metric)}"


def _near_floor(result: LiftResult) -> list[str]:
    """Hold the baseline against the floors, by the primary metric and by accuracy."""
    said = []
    for metric in dict.fromkeys((result.primary_metric, "accuracy")):
        deed, floor = floor_of(result, metric)
        found = result.arms[result.baseline][metric]
        beaten = found.ci_high < floor if metric == "log_loss" else found.ci_low > floor
        if not beaten:
            name = result.metric_name if metric == result.primary_metric else metric
            ends = [words.value(end, metric) for end in (found.ci_low, found.ci_high)]
            said.append(
                f"The baseline has learned too little to compare with: its {name} is "
                f"{words.value(found.mean, metric)} (interval {ends[0]} to {ends[1]}), and {deed} "
                f"reaches {words.value(floor, metric)} without looking at an image."
            )
    return said


def _little_to_judge_by(result: LiftResult) -> list[str]:
    few = {
        name: of.test_images
        for name, of in result.per_class.items()
        if of.test_images < FEWEST_TEST_IMAGES
    }
    if not few:
        return []
    named = [f"{name} ({few[name]})" for name in sorted(few, key=lambda name: few[name])]
    return [
        f"{len(few)} of {len(result.per_class)} classes have fewer than {FEWEST_TEST_IMAGES} test "
        f"images, so that one image moves their recall by more than "
        f"{100 / FEWEST_TEST_IMAGES:g} points: {_listed(named)}."
    ]


def least_conditioning(gan: GanFlags) -> float:
    """Return the share of a GAN's images that should show their class to that classifier.

    It may be one that learned from few images and recognises few of the real ones either.
    """
    return LEAST_CONDITIONING * (gan.conditioning_real or 1.0)


def _poor_gans(result: LiftResult) -> list[str]:
    conditioning, coverage = {}, {}
    for seed, gan in result.gans.items():
        if gan.conditioning is not None and gan.conditioning < least_conditioning(gan):
            conditioning[seed] = gan.conditioning
        if gan.coverage is not None and gan.coverage < LEAST_COVERAGE:
            coverage[seed] = gan.coverage
    real = max((gan.conditioning_real or 0.0 for gan in result.gans.values()), default=0.0)
    judge = f"a classifier that recognises {words.percent(real)} % of real/val"
    if not real:
        judge = "a classifier"
    return [
        *_few_of(
            conditioning,
            result,
            f"of its images show the requested class, according to {judge}",
            LEAST_CONDITIONING * (real or 1.0),
        ),
        *_few_of(
            coverage,
            result,
            "of the held-out real images have one of its images near them (coverage)",
            LEAST_COVERAGE,
        ),
    ]


def _few_of(low: dict[str, float], result: LiftResult, what: str, least: float) -> Iterator[str]:
    """Say of each GAN, or of many together, that only so much of something holds."""
    beyond = f"below {words.percent(least, 0)} % it can hardly help."
    if len(low) > _MOST_GANS:
        few, many = (words.percent(end) for end in (min(low.values()), max(low.values())))
        yield f"{len(low)} of {len(result.gans)} GANs: only {few} to {many} % {what}; {beyond}"
        return
    for seed, value in low.items():
        yield f"GAN {seed}: only {words.percent(value)} % {what}; {beyond}"


def _unhealthy_gans(result: LiftResult) -> list[str]:
    said = []
    gans = result.gans.values()
    lost = [gan.collapsed for gan in gans if gan.collapsed]
    if len(lost) > _MOST_GANS:
        often = Counter(name for names in lost for name in names)
        named = [f"{name} in {count}" for name, count in often.most_common()]
        said.append(f"{len(lost)} of {len(gans)} GANs collapsed on classes: {_listed(named)}.")
    for seed, gan in result.gans.items():
        if gan.collapsed and len(lost) <= _MOST_GANS:
            share = f"{len(gan.collapsed)} of {len(result.per_class)} classes"
            said.append(f"GAN {seed} collapsed on {share}: {_listed(gan.collapsed)}.")
        if gan.rollbacks:
            said.append(
                f"The training of GAN {seed} diverged and was rolled back {gan.rollbacks}×."
            )
    return said


def _too_short(result: LiftResult) -> list[str]:
    if result.classifier.settled_by != "most_steps":
        return []
    return [
        f"Training stopped at {result.classifier.steps:,} steps, the limit that was set, while "
        "accuracy on real/val still rose: the arms are compared half trained."
    ]


def _too_coarse(result: LiftResult) -> list[str]:
    smallest = result.rule.smallest_lift_pp
    fine_enough = result.mde_pp <= MOST_DETECTABLE * smallest
    if smallest <= 0 or fine_enough or abs(result.lift_pp.mean) >= result.mde_pp:
        return []
    return [
        f"{words.detectable(result)[0].upper()}{words.detectable(result)[1:]}, but "
        f"{smallest:g} {words.unit(result)} were declared to matter, less than a third of that: "
        "such a lift would most often be missed."
    ]


def _listed(named: list[str] | tuple[str, ...]) -> str:
    return ", ".join(named[:_MOST_NAMED]) + ", …" * (len(named) > _MOST_NAMED)

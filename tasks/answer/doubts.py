"""Can this run answer at all? What speaks against it, with each figure and its threshold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tasks.answer import words
from tasks.contracts.arms import NON_SYNTHETIC
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
        *_near_ceiling(result),
        *_against_another(result),
        *_little_to_judge_by(result),
        *_left_out(result),
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


def _near_ceiling(result: LiftResult) -> list[str]:
    if not result.no_room:
        return []
    found = words.value(
        result.arms[result.baseline][result.primary_metric].mean, result.primary_metric
    )
    return [
        f"There was nothing to gain: the baseline’s {result.metric_name} is {found}, and a "
        f"classifier without an error would be {result.room_pp:.1f} points above it. Whether GAN "
        "images help, only images that this classifier gets wrong can tell."
    ]


def _against_another(result: LiftResult) -> list[str]:
    """Hold a "helps" against an arm without GAN images that beat the baseline after all.

    Which one is the strongest, real/val has to say, and where it is small it may be wrong.
    """
    if result.verdict != "helps":
        return []
    better = [
        one
        for one in result.comparisons
        if (one.arm, one.over in NON_SYNTHETIC) == (result.treatment, True)
        and result.arm_lift_pp[one.over].mean > 0
        and one.lift_pp.ci_low <= 0
    ]
    if not better:
        return []
    least = min(better, key=lambda one: one.lift_pp.mean)
    return [
        f"On the test images {least.over} did better than the baseline, {result.baseline}. Over "
        f"{least.over} the lift is {words.interval(least.lift_pp, words.unit(result))}: that GAN "
        "images help more than every training without them has not been shown."
    ]


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
    real = gan.conditioning_real
    return LEAST_CONDITIONING * (1.0 if real is None else real)


def poor_gans(result: LiftResult) -> dict[str, GanFlags]:
    """Return the GANs, by seed, whose images show too often another class or too little variety.

    None where they have been measured to help: rare classes gain by images of which a judge of as
    few real ones recognises hardly any.
    """
    if result.verdict == "helps":
        return {}
    return {
        seed: gan
        for seed, gan in result.gans.items()
        if (gan.conditioning is not None and gan.conditioning < least_conditioning(gan))
        or (gan.coverage is not None and gan.coverage < LEAST_COVERAGE)
    }


def _left_out(result: LiftResult) -> list[str]:
    seeds = [seed for seed, gan in result.gans.items() if gan.left_out]
    if not seeds:
        return []
    named = f"GAN {seeds[0]}" if len(seeds) == 1 else f"GANs {_listed(seeds)}"
    return [
        f"The filter accepted no image of {named}. The arms rest on "
        f"{len(result.gans) - len(seeds)} of {len(result.gans)} GANs, and the interval speaks of "
        "GANs that get images through."
    ]


def _poor_gans(result: LiftResult) -> Iterator[str]:
    every = len(result.gans)
    gans = poor_gans(result).items()
    hardly = [
        (seed, gan.conditioning, f"{_judge(gan)}; below {words.percent(least, 0)}")
        for seed, gan in gans
        for least in [least_conditioning(gan)]
        if gan.conditioning is not None and gan.conditioning < least
    ]
    yield from _few_of(hardly, every, "of its images show the requested class, according to ")
    bound = f"(coverage); below {words.percent(LEAST_COVERAGE, 0)}"
    narrow = [
        (seed, gan.coverage, bound)
        for seed, gan in gans
        if gan.coverage is not None and gan.coverage < LEAST_COVERAGE
    ]
    near = "of the held-out real images have one of its images near them "
    yield from _few_of(narrow, every, near)


def _judge(gan: GanFlags) -> str:
    if gan.conditioning_real is None:
        return "a classifier"
    return f"a classifier that recognises {words.percent(gan.conditioning_real)} % of real/val"


def _few_of(low: list[tuple[str, float, str]], gans: int, what: str) -> Iterator[str]:
    """Say of each GAN that only so much of something holds; of many together, by the lowest."""
    if len(low) > _MOST_GANS:
        _, few, bound = min(low, key=lambda one: one[1])
        many = words.percent(max(value for _, value, _ in low))
        head = f"{len(low)} of {gans} GANs: only {words.percent(few)} to {many} %"
        yield f"{head} {what}{bound} % it can hardly help."
        return
    for seed, value, bound in low:
        yield f"GAN {seed}: only {words.percent(value)} % {what}{bound} % it can hardly help."


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

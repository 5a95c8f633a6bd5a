"""Every figure, interval and verdict in words: the one place that says them.

A lift reads ``−0.2 points [−1.0, +0.6]`` wherever it stands, on a page, in a picture or at the
terminal; the level of the intervals is named once beside them.
"""

from __future__ import annotations

from tasks.answer.names import DEEDS
from tasks.contracts import arms
from tasks.lift.parts import Classifier, Estimate, Measured, MoreReal, Worth
from tasks.lift.result import LiftResult
from tasks.lift.rule import strongest

NOTHING = "–"
MEANING = {
    "helps": "GAN images make the classifier better",
    "hurts": "GAN images make the classifier worse",
    "inconclusive": "no lift large enough to matter has been shown",
}
Bounded = Estimate | Measured


def signed(number: float, digits: int = 1) -> str:
    """Return a number with its sign, a true minus, and no sign on zero.

    What would round to 0 gets one digit more: the end of an interval must not look like 0
    where it is not.
    """
    text = f"{abs(number):,.{digits}f}"
    if float(text.replace(",", "")) == 0.0:
        text = f"{abs(number):.{digits + 1}f}"
        if float(text) == 0.0:
            return f"{0.0:.{digits}f}"
    return ("+" if number > 0 else "−") + text


def decimal(number: float, digits: int = 3) -> str:
    """Return a number with a true minus."""
    return f"{number:.{digits}f}".replace("-", "−")


def percent(share: float, digits: int = 1) -> str:
    """Return a share of 1 in percent, without the sign: ``96.0``."""
    return f"{100.0 * share:.{digits}f}"


def p_value(value: float) -> str:
    """Return a p-value; a tiny one as a bound."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def value(number: float, metric: str) -> str:
    """Return a metric's value: ``96.0 %``, or ``0.190 nats`` of the key ``log_loss``."""
    return f"{decimal(number)} nats" if metric == "log_loss" else f"{percent(number)} %"


def level(result: LiftResult) -> str:
    """Return the level of the intervals: ``95 %``."""
    return f"{100.0 * result.lift_pp.level:g} %"


def unit(result: LiftResult) -> str:
    """Return the unit of the lifts as it stands behind a number."""
    return "points" if result.unit == "percentage points" else result.unit


def bounds(found: Bounded) -> str:
    """Return an interval alone: ``[−1.0, +0.6]``."""
    return f"[{signed(found.ci_low)}, {signed(found.ci_high)}]"


def interval(found: Bounded, said_unit: str = "") -> str:
    """Return a lift with its interval: ``−0.2 points [−1.0, +0.6]``."""
    return " ".join(filter(None, (signed(found.mean), said_unit, bounds(found))))


def lift(result: LiftResult) -> str:
    """Return what the verdict rests on: ``−0.2 points [−1.0, +0.6]``."""
    return interval(result.lift_pp, unit(result))


def headline(result: LiftResult) -> str:
    """Return the lift with the metric and the level: the one line that says the result."""
    turned = "; positive is better" if result.less_is_better else ""
    return (
        f"lift in {result.metric_name} of {lift(result)} "
        f"({level(result)} confidence interval{turned})"
    )


def against(result: LiftResult) -> str:
    """Return which arms were compared, and how the baseline was chosen."""
    chosen = result.baseline_choice.rule == "strongest"
    how = "the strongest arm without GAN images on real/val" if chosen else "declared beforehand"
    return f"{result.treatment} against {result.baseline}, {how}; {trained(result)}"


def trained(result: LiftResult) -> str:
    """Return how every arm trains: ``both with the recipe mixup for 800 steps``."""
    found = result.classifier
    if result.folds:
        return "both with the recipe and the steps that each fold settled for itself"
    return f"both with the recipe {found.recipe} for {found.steps:,} steps"


def settled(result: LiftResult) -> list[str]:
    """Return how the recipe was settled, and why training was not longer, a sentence each."""
    found = result.classifier
    if result.folds:
        return ["Each fold settled recipe and steps on its own real/val, before any arm trained."]
    what = "The recipe was" if found.settled_by == "declared" else "Recipe and steps were"
    how = (
        f"{what} settled with the real images alone, before any arm was trained, and real/val "
        "alone was read for it: no test image and no GAN image."
        if found.settling
        else "The recipe and the steps were declared in params.yaml."
    )
    return [how, _why_no_longer(found)]


def _why_no_longer(found: Classifier) -> str:
    gained = ""  # None: it diverged, or there was none
    if found.gain is not None and found.gain_standard_error is not None:
        error = f"{100.0 * found.gain_standard_error:.1f}"
        gained = (
            f"the last doubling of the steps gained {signed(100.0 * found.gain)} ± {error} points"
        )
    if found.settled_by == "plateau" and not gained:
        return "Training was not longer, because with twice the steps it diverged."
    if found.settled_by == "plateau":
        return (
            f"Training was not longer, because {gained} of balanced accuracy on real/val, less "
            "than the standard error of that gain."
        )
    if found.settled_by == "most_steps":
        return (
            f"Training stopped at {found.steps:,} steps, the limit that was set, while accuracy on "
            f"real/val still rose{f' ({gained})' * bool(gained)}. A longer training may change the "
            "answer: raise retrain.most_steps."
        )
    return (
        f"The {found.steps:,} steps were declared, so whether a longer training would change the "
        "answer is not known."
    )


def rarest(result: LiftResult) -> str:
    """Return the lift of the rarest classes; empty where classes are balanced."""
    found = result.rarest
    return f"Rarest classes: recall {interval(found.lift_pp, 'points')}" if found else ""


def detectable(result: LiftResult) -> str:
    """Return what the design could have found."""
    return (
        f"a true lift of {result.mde_pp:.1f} {unit(result)} would be detected in "
        f"{percent(result.power, 0)} % of such studies"
    )


def told(result: LiftResult) -> LiftResult:
    """Return the result with its answer and its advice."""
    return result.model_copy(update={"answer": _answer(result), "advice": _advice(result)})


def _answer(result: LiftResult) -> str:
    chosen = result.baseline_choice.rule == "strongest"
    return (
        f"{_word(result)}: {DEEDS[result.treatment]} gave a {headline(result)} over "
        f"{DEEDS[result.baseline]}{', the strongest training without GAN images' * chosen}."
    )


def in_short(result: LiftResult) -> str:
    """Return the answer for the head of a page that shows the interval below it."""
    found = f"{signed(result.lift_pp.mean)} {unit(result)} in {result.metric_name}"
    return f"{_word(result)}: {DEEDS[result.treatment]} gave {found}."


def _word(result: LiftResult) -> str:
    no = "No, don’t add them" if result.treatment in (arms.UNFILTERED, arms.FILTERED) else "No"
    return {"helps": "Yes", "hurts": no, "inconclusive": "Not on this evidence"}[result.verdict]


def _advice(result: LiftResult) -> str:
    said = {
        "helps": f"Use {result.treatment} in place of {result.baseline}.",
        "hurts": f"Stay with {result.baseline}.",
        "inconclusive": _why_inconclusive(result),
    }[result.verdict]
    best = strongest(
        result.baseline_choice.val, result.treatment, less_is_better=result.less_is_better
    )
    if result.baseline_choice.rule == "declared" and best not in (None, result.baseline):
        said += (
            f" But {result.baseline} was declared as the baseline, and {best}, without GAN images "
            "either, is better on real/val: report.baseline=strongest compares with that."
        )
    if not result.gan_luck:
        said += (
            " All runs use the images of one GAN: another one may do better or worse, and the "
            "interval does not cover that."
        )
    return said


def _why_inconclusive(result: LiftResult) -> str:
    found, smallest = result.lift_pp, result.rule.smallest_lift_pp
    if -smallest <= found.ci_low and found.ci_high <= smallest:
        return (
            f"The whole interval lies within ±{smallest:g} {unit(result)}, the smallest lift that "
            "matters: there is practically no effect, so keep the simpler training."
        )
    if found.ci_low > 0.0 or found.ci_high < 0.0:
        return (
            f"There is a {'gain' if found.ci_low > 0.0 else 'loss'}, but its mean is below the "
            f"{smallest:g} {unit(result)} that were declared to matter."
        )
    return (
        "The interval contains 0, so chance alone could explain the difference: keep the simpler "
        "training until there is more evidence."
    )


def more_images(found: Worth) -> tuple[str, str]:
    """Return how many more real images a lift is worth, and the interval of that number."""
    least, most = (signed(end - found.have, 0) for end in found.ends)
    if found.beyond == "above" and found.ends[1] == found.have:
        return "–", "there are no more labelled images to compare with"
    if found.real_images is None:
        return f"> {most}" if found.beyond == "above" else f"< {least}", "the curve ends there"
    low = f"below {least}" if found.low is None else signed(found.low - found.have, 0)
    high = f"over {most}" if found.high is None else signed(found.high - found.have, 0)
    return signed(found.real_images - found.have, 0), f"[{low}, {high}]"


def worth(found: Worth) -> str:
    """Return what a lift is worth in short: ``about 40 more real images [+15, +90]``."""
    least, most = found.ends
    if found.real_images is None and found.beyond == "above":
        more = most - found.have
        return f"more than {more:,} more real images" if more > 0 else "more than the curve shows"
    if found.real_images is None:
        return f"less than {least:,} real images, the fewest on the curve"
    more = found.real_images - found.have
    way = "more" if more >= 0 else "fewer"
    return f"about {abs(more):,} {way} real images {more_images(found)[1]}"


def worth_in_full(result: LiftResult, found: Worth) -> str:
    """Return what the lift is worth in real images, and what that rests on."""
    least, most = found.ends
    gained = f"a lift of {signed(result.lift_pp.mean)} {unit(result)} is"
    if found.real_images is not None:
        said = (
            f"{gained} what {found.real_images:,} real images in place of {found.have:,} bring "
            f"with the same recipe ({level(result)} confidence interval)."
        )
    elif found.beyond == "above":
        said = f"{gained} more than {most:,} real images {_in_place(most, found)}bring."
    else:
        said = f"{gained} less than {least:,} real images {_in_place(least, found)}bring."
    if result.lift_pp.ci_high < 0.0:
        said += " Training is better without it."
    elif result.lift_pp.ci_low <= 0.0:
        said += " The interval contains 0, so it may be worth nothing."
    short = worth(found)
    return f"{short[0].upper()}{short[1:]}: {said}"


def _in_place(images: int, found: Worth) -> str:
    """Say what an end of the curve is held against, unless it is what one has."""
    if images == found.have:
        return ""
    return f"in place of {found.have:,} with the same recipe "


def what_would_change(result: LiftResult) -> list[str]:
    """Return what stands between this answer and another, from the result itself."""
    said = [_undecided(result) if result.verdict == "inconclusive" else _decided(result)]
    said.append(
        f"With this spread over GANs, seeds and test images, {detectable(result)}; a smaller one "
        "would more often be missed."
    )
    variance = result.noise_pp.runs**2 + result.noise_pp.images**2
    if variance > 0:
        said.append(_uncertainty(result.noise_pp.runs**2 / variance))
    if result.more_real is not None:
        said.append(_more_real(result, result.more_real))
    said.extend(_what_else(result))
    if result.classifier.settled_by != "plateau":
        said.append(_why_no_longer(result.classifier))
    if result.counts.gan_seeds == 1:
        said.append(
            "Only one GAN was trained, so the interval does not cover the luck of a GAN: another "
            "could turn out better or worse by more than the interval says. Set two or more "
            "train_gan.seeds to cover it."
        )
    if result.lift_pp.mean != 0 and result.baseline_choice.rule == "strongest":
        said.append(
            f"The comparison is with {result.baseline}, the strongest training without GAN images "
            "on real/val. Against a weaker one the lift would look larger, and mean less."
        )
    said.append(
        "The answer holds for these classes, this many real images, this GAN budget, this "
        "classifier and this recipe. GAN images help most where real ones are few, and less beside "
        "a strong recipe."
    )
    return said


def settle_ways(result: LiftResult) -> list[str]:
    """Return what alone would carry the interval past 0: ``6 GANs in place of 4``."""
    if result.settle is None:
        return []
    counts = result.counts
    ways = (
        ("GANs", result.settle.gans, counts.gan_seeds),
        ("classifier seeds", result.settle.seeds, counts.seeds),
        ("test images", result.settle.test_images, counts.test),
    )
    return [f"{needed:,} {what} in place of {now:,}" for what, needed, now in ways if needed]


def _decided(result: LiftResult) -> str:
    found, said = result.lift_pp, unit(result)
    clear = found.ci_low if found.mean > 0 else -found.ci_high
    return (
        f"The nearer end of the interval is {clear:.1f} {said} from 0. The verdict would be "
        f"inconclusive if the interval contained 0, or if the mean were nearer to 0 than "
        f"{result.rule.smallest_lift_pp:g} {said}."
    )


def _undecided(result: LiftResult) -> str:
    """Say how much more evidence would settle it, where any would."""
    mean, smallest = result.lift_pp.mean, result.rule.smallest_lift_pp
    found = f"{signed(mean)} {unit(result)}"
    if abs(mean) < max(smallest, 1e-9):
        return (
            f"More evidence would narrow the interval, but with a mean of {found}, smaller than "
            f"the {smallest:g} that matter, the verdict would stay inconclusive"
            + ("." if result.no_room else ": only better GAN images could change it.")
        )
    ways = settle_ways(result)
    if not ways:
        return (
            f"If the mean stayed at {found}, up to 100 times as many GANs, classifier seeds or "
            "test images, each alone, would not be enough to exclude 0."
        )
    return (
        f"If the mean stayed at {found}, any one of these alone would be enough to exclude 0: "
        f"{', or '.join(ways)}. The mean may also move towards 0."
    )


def _uncertainty(share: float) -> str:
    """Say where the noise comes from, ``share`` of its variance being that of runs."""
    larger = max(share, 1 - share)
    # the two are estimates, and a variance that comes out below 0 counts as 0
    part = "Nearly all" if larger > 0.95 else f"About {percent(larger, 0)} %"
    if share >= 0.5:
        return (
            f"{part} of the uncertainty comes from the draw of GANs and classifier seeds: more "
            "train_gan.seeds and retrain.seeds narrow the interval fastest."
        )
    return (
        f"{part} of the uncertainty comes from the draw of test images: a larger test set narrows "
        "the interval fastest."
    )


def _more_real(result: LiftResult, more: MoreReal) -> str:
    """Say what real images bring instead, which bounds what one can hope for from a GAN's."""
    found = (
        f"{more.real_images:,} real images in place of {result.counts.train:,}, trained with the "
        f"same recipe, have a lift of {interval(more.lift_pp, unit(result))} over "
        f"{result.baseline}"
    )
    if more.lift_pp.ci_low > 0:
        return f"Real images would help: {found}. As many GAN images can hardly bring more."
    if more.lift_pp.ci_high < result.rule.smallest_lift_pp:
        return f"Not even real images would help: {found}. There is little for a GAN to add here."
    return f"Whether more images of any kind would help is open: {found}."


def _what_else(result: LiftResult) -> list[str]:
    """Say what would tell GANs more, where they saw the labelled images alone and do not help."""
    arms_beside = {arms.OTHER_DOMAIN, arms.PSEUDO_LABELLED} & set(result.arms)
    if result.verdict == "helps" or arms_beside or result.classifier.pretraining:
        return []
    return [
        "The GANs saw the labelled images alone, and turning and mixing those tells a classifier "
        "nearly as much. Images without a label, of related classes, or of these classes taken "
        "otherwise would tell GANs more: docs/data.md says where to put them."
    ]

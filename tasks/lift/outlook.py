"""Sentences of the page: what a lift is worth, and what would change the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.lift.verdict import signed


def spoken_unit(lift: Mapping[str, Any]) -> str:
    """Return the unit of the lifts as it stands in running text."""
    return "points" if lift["unit"] == "percentage points" else str(lift["unit"])


def what_it_is_worth(lift: Mapping[str, Any]) -> str | None:
    """Return what the treatment is worth in real images, None where no curve was drawn."""
    worth = lift["worth"]
    if worth is None:
        return None
    have, counts = worth["have"], [point["real_images"] for point in worth["curve"]]
    lowest, highest = min(counts), max(counts)
    if worth["beyond"] == "above":
        return (
            f"More than the curve reaches: {lift['treatment']} does better than {highest} real "
            f"images with classical augmentation do, and has {have}."
        )
    if worth["beyond"] == "below":
        return (
            f"Less than the curve reaches: {lowest} real images with classical augmentation do "
            f"better than {lift['treatment']} on {have}."
        )
    more = worth["real_images"] - have
    low = f"fewer than {lowest}" if worth["low"] is None else f"{worth['low']}"
    high = f"more than {highest}" if worth["high"] is None else f"{worth['high']}"
    span = f"{lift['lift_pp']['level'] * 100:g} % interval {low} to {high}"
    as_good = (
        f"{lift['treatment']} does about as well as {worth['real_images']} real images with "
        f"classical augmentation ({span})"
    )
    if more == 0:
        return f"No further real image: {as_good}, which is what it has."
    way = "more" if more > 0 else "fewer"
    answer = f"About {abs(more)} {way} real images: {as_good}, and has {have}."
    if worth["high"] is not None and worth["high"] < have:
        return f"{answer} They do better without it."
    if worth["low"] is not None and worth["low"] > have:
        return answer
    return f"{answer} The interval holds {have} too, so it may be worth nothing."


def more_images(lift: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return how many more real images a lift is worth, and the interval of that number.

    None without a curve.
    """
    worth = lift["worth"]
    if worth is None:
        return None
    have, counts = worth["have"], [point["real_images"] for point in worth["curve"]]
    least, most = (signed(end - have, 0) for end in (min(counts), max(counts)))
    if worth["beyond"]:
        return f"> {most}" if worth["beyond"] == "above" else f"< {least}", "the curve ends there"
    low = f"below {least}" if worth["low"] is None else signed(worth["low"] - have, 0)
    high = f"over {most}" if worth["high"] is None else signed(worth["high"] - have, 0)
    return signed(worth["real_images"] - have, 0), f"{low} to {high}"


def what_would_change(lift: Mapping[str, Any]) -> list[str]:
    """Return what stands between this answer and another, from the result itself."""
    points, unit = lift["lift_pp"], spoken_unit(lift)
    said = [_decided(lift) if lift["verdict"] != "inconclusive" else _undecided(lift)]
    said.append(
        f"With this spread over GANs, seeds and test images, a true lift of {lift['mde_pp']:.1f} "
        f"{unit} would have been found in {100 * lift['power']:.0f} % of such studies; a smaller "
        "one would more often have been missed."
    )
    noise = lift["noise_pp"]
    variance = noise["runs"] ** 2 + noise["images"] ** 2
    if variance > 0:
        said.append(_uncertainty(noise["runs"] ** 2 / variance))
    if lift["more_real"] is not None:
        said.append(_more_real(lift))
    said.extend(_few_added(lift))
    if lift["counts"]["gan_seeds"] == 1:
        said.append(
            "Only one GAN was trained, so the interval does not cover the luck of a GAN: another "
            "could turn out better or worse by more than the interval says. Two or more "
            "train_gan.seeds would tell."
        )
    if points["mean"] != 0 and lift["baseline_choice"]["rule"] == "strongest":
        said.append(
            f"The comparison is with {lift['baseline']}, the strongest training without GAN images "
            "on real/val. Against a weaker one the lift would look larger, and mean less."
        )
    said.append(
        "The answer holds for these classes, this many real images, this GAN budget and this "
        "classifier. GAN images help most where real ones are few, and less beside strong "
        "classical augmentation."
    )
    return said


def _uncertainty(share: float) -> str:
    """Say where the noise comes from, ``share`` of its variance being that of runs."""
    larger = max(share, 1 - share)
    # the two are estimates, and a variance that comes out below 0 counts as 0
    part = "Nearly all" if larger > 0.95 else f"About {100 * larger:.0f} %"
    if share >= 0.5:
        return (
            f"{part} of the uncertainty comes from the draw of GANs and classifier seeds: more "
            "train_gan.seeds and retrain.seeds narrow the interval fastest."
        )
    return (
        f"{part} of the uncertainty comes from the draw of test images: a larger test set narrows "
        "the interval fastest."
    )


def _more_real(lift: Mapping[str, Any]) -> str:
    """Say what real images bring instead, which bounds what one can hope for from a GAN's."""
    more, unit = lift["more_real"], spoken_unit(lift)
    mean, low, high = (signed(more["lift_pp"][end]) for end in ("mean", "ci_low", "ci_high"))
    found = (
        f"{more['real_images']} real images in place of {lift['counts']['train']}, with classical "
        f"augmentation, are a lift of {mean} {unit} ({low} to {high}) over {lift['baseline']}"
    )
    if more["lift_pp"]["ci_low"] > 0:
        return f"Real images would help: {found}. As many GAN images can hardly bring more."
    if more["lift_pp"]["ci_high"] < lift["rule"]["smallest_lift_pp"]:
        return f"Not even real images would help: {found}. There is little for a GAN to add here."
    return f"Whether more images of any kind would help is open: {found}."


def _few_added(lift: Mapping[str, Any]) -> list[str]:
    """Say it where GANs learned from unlabelled images too, and little of that was added."""
    counts, pseudo = lift["counts"], [gan["pseudo_labelled"] for gan in lift["gans"].values()]
    if not any(pseudo):
        return []
    learned, added = counts["train"] + max(pseudo), max(counts["synthetic"].values())
    if added >= learned / 2:
        return []
    return [
        f"A GAN has learned from {learned} images, {max(pseudo)} of them pseudo-labelled, and a "
        f"run adds at most {added} of its own: merge.synthetic_per_real="
        f"{learned // counts['train']} would add about as many as it has learned from."
    ]


def _decided(lift: Mapping[str, Any]) -> str:
    points, unit = lift["lift_pp"], spoken_unit(lift)
    clear = points["ci_low"] if points["mean"] > 0 else -points["ci_high"]
    return (
        f"The interval stays {clear:.1f} {unit} clear of 0. The verdict would be inconclusive if "
        f"it touched 0, or with a mean nearer to 0 than {lift['rule']['smallest_lift_pp']:g} "
        f"{unit}."
    )


def _undecided(lift: Mapping[str, Any]) -> str:
    """Say how much more evidence would settle it, where any would."""
    mean, smallest = lift["lift_pp"]["mean"], lift["rule"]["smallest_lift_pp"]
    unit, counts, settle = spoken_unit(lift), lift["counts"], lift["settle"] or {}
    if abs(mean) < max(smallest, 1e-9):
        return (
            f"More evidence narrows the interval, but with the mean at {signed(mean)} {unit}, "
            f"below the {smallest:g} that matter, the verdict would stay as it is: better GAN "
            "images would have to move it."
        )
    ways = []
    if settle.get("gans"):
        ways.append(f"{settle['gans']} GANs in place of {counts['gan_seeds']}")
    if settle.get("seeds"):
        ways.append(f"{settle['seeds']} classifier seeds in place of {counts['seeds']}")
    if settle.get("test_images"):
        ways.append(f"{settle['test_images']} test images in place of {counts['test']}")
    if not ways:
        return (
            f"If the mean stayed at {signed(mean)} {unit}, more of one thing alone (GANs, "
            "classifier seeds, test images), up to 100 times as many, would not settle it."
        )
    return (
        f"If the mean stayed at {signed(mean)} {unit}, any one of these alone would carry the "
        f"interval past 0: {', or '.join(ways)}. It may as well move towards 0."
    )

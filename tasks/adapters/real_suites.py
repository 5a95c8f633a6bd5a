"""What is asked of the real images before anything is trained on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import pandas as pd

from tasks.adapters.suites import (
    FAULTY_LINE,
    SIZE,
    TELLING,
    Check,
    Suite,
    between,
    in_set,
    integrity,
    labels,
    rows,
    sizes,
    unique,
    warn,
    with_usual_name,
)
from tasks.contracts.params.validate import ValidateParams
from tasks.data.pixel_shift import drift, with_robust_z
from tasks.data.tallies import class_counts, classes_of

OTHER_DOMAIN, RELATED = "other domain", "related classes"  # what people call those sets
SUGGESTED = "suggested"  # the column of the class that an image looks like


def groups_given(frames: Iterable[pd.DataFrame]) -> bool:
    """Return whether somebody said which images belong together.

    By default each image is its own group, named by its id; near-twins share the id of one.
    """
    groups = pd.concat([frame["group"] for frame in frames]).dropna().astype("str")
    return not bool(groups.str.fullmatch("[0-9a-f]{64}").all())


def recall_within(images: int) -> float:
    """Return to how many percentage points so many test images tell the recall of a class.

    Half the width of the 95 % interval by the normal approximation, at its widest (a recall of
    50 %).
    """
    return 98 / math.sqrt(max(1, images))


def real_suites(
    frames: Mapping[str, pd.DataFrame],
    params: ValidateParams,
    beside: Mapping[str, pd.DataFrame] | None = None,
) -> list[Suite]:
    """Return what is asked of the real sets.

    Args:
        frames: split -> manifest beside pixel statistics (`pixel_stats.describe`), train first;
            with ``suggested``, where labels were judged, the class that an image looks like.
        params: least images of a class in each split, least contrast of an image, and what warns.
        beside: likewise, of images of another domain and of related classes, under these names.
            Nothing is asked of none; brightness and contrast may differ, and related classes have
            labels of their own.
    """
    told = [*TELLING, *SIZE, "label", "class_name", "group"]
    everything = pd.concat([frame[told].assign(split=split) for split, frame in frames.items()])
    every_set = everything
    names = classes_of(everything)
    model = frames["train"] if len(frames["train"]) else everything
    size = {column: model[column].mode().tolist() for column in SIZE}
    suites = []
    for split, frame in frames.items():
        checks = (*integrity(), *labels(names), *_real_pixels(params), *sizes(size),
                  *_outliers(params))  # fmt: skip
        named = with_usual_name(with_robust_z(frame, frames["train"]), names)
        suites.append(Suite(f"{split} images", split, "images", named, checks))
        counts = class_counts(frame, names)
        for name, check in _counts(split, counts, params).items():
            suites.append(Suite(name, split, "classes", counts, (check,)))
    total = Suite(
        "classes", "all splits", "classes", class_counts(everything, names),
        (rows("There are at least two classes to tell apart", 2),),
    )  # fmt: skip
    for name, frame in (beside or {}).items():
        if not len(frame):
            continue
        every_set = pd.concat([every_set, frame[told].assign(split=name)])
        own = classes_of(frame) if name == RELATED else names
        checks = (*integrity(), *labels(own), *_real_pixels(params), *sizes(size))
        suites.append(Suite(name, name, "images", with_usual_name(frame, own), checks))
    suites += [_apart(every_set, "image_id", "image_id"), total, _drift(frames, params)]
    if groups_given(frames.values()):
        suites.append(_apart(every_set, "group", "group"))
    elif everything["group"].dropna().duplicated().any():
        suites.append(_apart(every_set, "group", "pair of near-twins"))
    judged = [frame.assign(split=split) for split, frame in frames.items() if SUGGESTED in frame]
    return [*suites, _suspects(pd.concat(judged), params)] if judged else suites


def _counts(split: str, counts: pd.DataFrame, params: ValidateParams) -> dict[str, Check]:
    """Return by name of the suite how many images a class must and should have."""
    least = getattr(params, f"min_{split}_per_class")
    useful = getattr(params, f"useful_{split}_per_class")
    enough = between(
        "images", "Every class has enough images",
        f"Bring every class to {least} images in {split}, "
        f"or lower validate.min_{split}_per_class",
        min_value=least,
    )  # fmt: skip
    purpose, mend = {
        "train": ("learn from", "Add training images of these classes"),
        "val": ("choose settings by", "Add validation images of these classes"),
        "test": _for_judging(useful, counts),
    }[split]
    explanation = f"Every class has {useful} {split} images to {purpose}"
    enough_for_use = between("images", explanation, mend, min_value=useful)
    return {f"{split} classes": enough, f"{split} classes in use": warn(enough_for_use)}


def _for_judging(useful: int, counts: pd.DataFrame) -> tuple[str, str]:
    rarest = counts.iloc[int(counts["images"].to_numpy().argmin())]
    return (
        f"judge by: they tell its recall to within ±{recall_within(useful):.0f} points",
        f"Add test images: with {rarest['images']} of them the recall of "
        f"{rarest['class_name']} is known to within ±{recall_within(rarest['images']):.0f} "
        "percentage points only",
    )


def _outliers(params: ValidateParams) -> tuple[Check, ...]:
    far = params.max_robust_z
    return tuple(
        warn(between(
            f"{name}_z",
            f"The {name} of every image is within {far:g} robust standard deviations of the "
            "median of its class in train",
            "Look at these images: remove or mend those that were lit or exposed wrongly, or "
            "raise validate.max_robust_z",
            min_value=-far, max_value=far,
        ))
        for name in ("brightness", "contrast")
    )  # fmt: skip


def _drift(frames: Mapping[str, pd.DataFrame], params: ValidateParams) -> Suite:
    check = between(
        "drift",
        "Brightness, contrast and sharpness of val and test are spread as in train: their "
        f"Kolmogorov-Smirnov distance is {params.max_drift:g} at most beyond chance",
        "Look at whether the splits come from the same camera, place and time; images "
        "of another kind than train measure something else, or raise validate.max_drift",
        max_value=params.max_drift,
    )  # fmt: skip
    return Suite("drift", "all splits", "comparisons", drift(frames), (warn(check),))


def _suspects(judged: pd.DataFrame, params: ValidateParams) -> Suite:
    check = Check(
        "expect_column_values_to_be_null",
        {"column": SUGGESTED, "mostly": 1 - params.max_suspect_share},
        f"At most {params.max_suspect_share:.0%} of the training and validation images look "
        "like another class than their own",
        "Look at the suspects below and put those that are wrong into the folder of their "
        "class; none was dropped",
    )
    return Suite("label suspects", "train and val", "images", judged, (warn(check),))


def _real_pixels(params: ValidateParams) -> tuple[Check, ...]:
    blank = f"No image is blank: grey levels vary by {params.min_pixel_std:g} or more"
    grey = {"min_value": 0, "max_value": 255}
    return (
        in_set("origin", ["real"], "Every image is real", FAULTY_LINE),
        between("pixel_min", "The darkest grey level is in 0 to 255", FAULTY_LINE, **grey),
        between("pixel_max", "The brightest grey level is in 0 to 255", FAULTY_LINE, **grey),
        between(
            "pixel_std", blank, "Remove blank images, or lower validate.min_pixel_std",
            min_value=params.min_pixel_std,
        ),
    )  # fmt: skip


def _apart(everything: pd.DataFrame, column: str, noun: str) -> Suite:
    """Return the suite that no value of ``column``, called a ``noun``, stands in two splits."""
    explanation = f"No {noun} is in two splits, where a network could learn it by heart"
    told = dict.fromkeys([*TELLING, "split", column])
    frame = everything[list(told)].drop_duplicates(["split", column])
    return Suite(
        f"{column} across splits", "all splits", "ids", frame,
        (unique(column, explanation, "Put what belongs together into one split of the source"),),
    )  # fmt: skip

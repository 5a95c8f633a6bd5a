"""What is asked of the real images before anything is trained on them."""

from __future__ import annotations

from collections.abc import Mapping

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
    with_usual_name,
)
from tasks.contracts.params.validate import ValidateParams
from tasks.data.tallies import class_counts, classes_of


def real_suites(frames: Mapping[str, pd.DataFrame], params: ValidateParams) -> list[Suite]:
    """Return what is asked of the real sets.

    Args:
        frames: split -> manifest beside pixel statistics (`pixel_stats.describe`), train first.
        params: least images of a class in each split, least contrast of an image.
    """
    told = [*TELLING, *SIZE, "label", "class_name", "group"]
    everything = pd.concat([frame[told].assign(split=split) for split, frame in frames.items()])
    names = classes_of(everything)
    least = {split: getattr(params, f"min_{split}_per_class") for split in frames}
    model = frames["train"] if len(frames["train"]) else everything
    size = {column: model[column].mode().tolist() for column in SIZE}
    suites = []
    for split, frame in frames.items():
        checks = (*integrity(), *labels(names), *_real_pixels(params), *sizes(size))
        named = with_usual_name(frame, names)
        suites.append(Suite(f"{split} images", split, "images", named, checks))
        counts = class_counts(frame, names)
        enough = between(
            "images", "Every class has enough images",
            f"Bring every class to {least[split]} images in {split}, "
            f"or lower validate.min_{split}_per_class",
            min_value=least[split],
        )  # fmt: skip
        suites.append(Suite(f"{split} classes", split, "classes", counts, (enough,)))
    total = Suite(
        "classes", "all splits", "classes", class_counts(everything, names),
        (rows("There are at least two classes to tell apart", 2),),
    )  # fmt: skip
    return [*suites, _apart(everything, "image_id"), _apart(everything, "group"), total]


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


def _apart(everything: pd.DataFrame, column: str) -> Suite:
    """Return the suite that no value of ``column`` stands in two splits."""
    explanation = f"No {column} is in two splits, where a network could learn it by heart"
    told = dict.fromkeys([*TELLING, "split", column])
    frame = everything[list(told)].drop_duplicates(["split", column])
    return Suite(
        f"{column} across splits", "all splits", "ids", frame,
        (unique(column, explanation, "Put what belongs together into one split of the source"),),
    )  # fmt: skip

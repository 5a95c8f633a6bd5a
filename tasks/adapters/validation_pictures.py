"""What the page of the data gate shows of the images themselves; every list is bounded."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from tasks.contracts.image_set import Images, ImageSet
from tasks.data.pictures import png_base64, to_picture
from tasks.data.tallies import classes_of

_EDGE_PX = 96
_GALLERY_PX = 64
_GALLERY = 240  # pictures in all galleries together: 2 MB of colour photographs
_A_CLASS = 8
_PAIRS = 24
_SUSPECTS = 48


@dataclass(frozen=True)
class Shown:
    """An image on the page: a picture (data URI), where it stands, and what is said of it."""

    picture: str
    split: str
    source: str
    told: str = ""


@dataclass(frozen=True)
class Sizes:
    """Original sizes of a set, as width x height in pixels, and the filled share of its frames."""

    split: str
    smallest: str
    median: str
    largest: str
    usual_padding: float
    most_padding: float


def picture(image: Images, edge: int = _EDGE_PX) -> str:
    """Return one image (``[H, W, C]`` uint8) as a PNG data URI of about ``edge`` pixels.

    Small images are enlarged by a whole factor without smoothing, so every pixel is seen.
    """
    longest = max(image.shape[:2])
    drawn = to_picture(image)
    if longest <= edge:
        factor = edge // longest
        size = (drawn.width * factor, drawn.height * factor)
        drawn = drawn.resize(size, Image.Resampling.NEAREST)
    else:
        drawn.thumbnail((edge, edge))
    return f"data:image/png;base64,{png_base64(drawn)}"


def galleries(sets: Mapping[str, ImageSet]) -> dict[str, list[Shown]]:
    """Return class -> some of its images, spread evenly over the first set that has any.

    Up to 8 of a class, 240 in all; of more than 240 classes the first have one each.
    """
    names = classes_of(pd.concat([image_set.manifest for image_set in sets.values()]))
    each = min(_A_CLASS, max(1, _GALLERY // max(1, len(names))))
    found = {}
    for label, name in list(names.items())[:_GALLERY]:
        for split, image_set in sets.items():
            rows = np.flatnonzero(image_set.labels == label)
            if len(rows):
                places = np.unique(np.linspace(0, len(rows) - 1, each).round().astype(int))
                found[name] = [_shown(sets, split, row, edge=_GALLERY_PX) for row in rows[places]]
                break
    return found


def suspect_pictures(sets: Mapping[str, ImageSet], suspects: pd.DataFrame) -> list[Shown]:
    """Return the clearest suspects (rows with ``split``, ``row``, names and probabilities)."""
    return [
        _shown(
            sets, one["split"], one["row"],
            f"{one['class_name']}, looks like {one['suggested']} "
            f"({one['p_suggested']:.2f} against {one['p_given']:.2f})",
        )
        for one in suspects.head(_SUSPECTS).to_dict("records")
    ]  # fmt: skip


def twin_pictures(
    sets: Mapping[str, ImageSet], twins: pd.DataFrame
) -> list[tuple[Shown, Shown, str]]:
    """Return pairs of which both images are in the sets, with their correlation.

    The least alike come first: they are the ones to doubt.

    Args:
        sets: split -> images.
        twins: ``source_a`` and ``source_b``, their classes ``class_a`` and ``class_b``, and
            ``correlation``, as texts; may be empty.
    """
    if twins.empty:
        return []
    places = {
        source: (split, row)
        for split, image_set in sets.items()
        for row, source in enumerate(image_set.manifest["source"])
    }
    known = twins[twins["source_a"].isin(places) & twins["source_b"].isin(places)]
    known = known.assign(alike=pd.to_numeric(known["correlation"], errors="coerce"))
    known = known.sort_values(["alike", "source_a", "source_b"], kind="stable")
    return [
        (
            _shown(sets, *places[pair["source_a"]], pair["class_a"]),
            _shown(sets, *places[pair["source_b"]], pair["class_b"]),
            _alike(pair),
        )
        for pair in known.head(_PAIRS).to_dict("records")
    ]


def _alike(pair: Mapping[Hashable, str]) -> str:
    told = f"correlation {pair['correlation']}"
    return told if pair["class_a"] == pair["class_b"] else f"{told}; their labels differ"


def original_sizes(sets: Mapping[str, ImageSet]) -> list[Sizes]:
    """Return the sizes before ingest of each set whose manifest tells them.

    Padding is the share of the frame that an image's own shape leaves empty.
    """
    found = []
    for split, image_set in sets.items():
        if not {"original_width", "original_height"} <= set(image_set.manifest.columns):
            continue
        told = image_set.manifest[["original_width", "original_height"]].dropna()
        if told.empty:
            continue
        told = told.astype(np.int64)
        told = told.iloc[np.argsort(told.prod(axis=1), kind="stable")]
        height, width, _ = image_set.image_shape
        shape = told["original_width"] / told["original_height"] / (width / height)
        padding = 1 - pd.concat([shape, 1 / shape], axis=1).min(axis=1)
        smallest, median, largest = (
            "×".join(map(str, told.iloc[place])) for place in (0, len(told) // 2, -1)
        )
        found.append(
            Sizes(split, smallest, median, largest, float(padding.median()), float(padding.max()))
        )
    return found


def _shown(
    sets: Mapping[str, ImageSet], split: str, row: int, told: str = "", edge: int = _EDGE_PX
) -> Shown:
    image_set = sets[split]
    source = str(image_set.manifest["source"].iloc[row])
    return Shown(picture(image_set.images[row], edge), split, source, told)

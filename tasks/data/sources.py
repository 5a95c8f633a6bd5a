"""Where images come from: a folder, an archive, shards of Parquet, or a set known by name.

Each form is one function that lists what it holds; nothing is decoded here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from tasks.contracts.errors import UserError
from tasks.data.archives import archive_reader
from tasks.data.items import OTHER_DOMAIN, Item, Listing
from tasks.data.layouts import listing_of
from tasks.data.shards import SHARD, is_shards, shard_listing
from tasks.data.torchvision_sets import torchvision_items
from tasks.data.trees import Leaf, Tree, folder_tree

RARE_DIGITS = ("1", "8")


def items_of(source: Path, group_pattern: str | None = None) -> Listing:
    """List what a source holds, in an order that does not depend on the file system.

    Args:
        source: the folder or file.
        group_pattern: a regular expression on an image's path below the source. What its group
            named ``group`` matches (else its first group, else all that it matches) is the group
            of an image that has none from elsewhere.

    Raises:
        UserError: the source is missing, empty of labelled images, or not understood.
    """
    listing = _listing(source)
    if group_pattern is None:
        return listing
    pattern = re.compile(group_pattern)
    items = [
        item if item.group else replace(item, group=_matched(pattern, item.source))
        for item in listing.items
    ]
    return Listing(items, listing.passed_over)


def _listing(source: Path) -> Listing:
    if source.is_dir():
        tree = folder_tree(source)
        return shard_listing(tree, source) if is_shards(tree) else listing_of(tree, source)
    if not source.is_file():
        raise UserError(str(source), "no such source of images", "Correct `ingest.source`")
    read = archive_reader(source)
    if read is not None:
        return listing_of(read(source), source)
    if source.suffix.lower() == SHARD:
        return shard_listing(Tree([Leaf(source.name, source)], frozenset()), source.parent)
    return Listing(list(_named(source)))


def _matched(pattern: re.Pattern[str], path: str) -> str | None:
    found = pattern.search(path)
    if found is None:
        return None
    if "group" in pattern.groupindex:
        return found["group"]
    return found[1] if pattern.groups else found[0]


def _named(source: Path) -> Iterator[Item]:
    """List a set that a file of one or two lines names."""
    try:
        said: dict[str, Any] = yaml.safe_load(source.read_text(encoding="utf-8"))
        if "torchvision" in said:
            return torchvision_items(said["torchvision"], source.parent / said["root"], source)
        images = EMBEDDED[said["embedded"]]
    except (yaml.YAMLError, ValueError, KeyError, TypeError):
        raise UserError(
            str(source),
            "a source that is a file must be an archive (.zip, .tar, .tar.gz, ...), a .parquet "
            "file with images, or say `embedded: NAME`, or `torchvision: NAME` and `root: FOLDER`",
            f"Known embedded names: {', '.join(EMBEDDED)}; for images of your own, give their "
            "folder",
        ) from None
    return images()


def digits() -> Iterator[Item]:
    """scikit-learn's 1,797 handwritten digits, 8x8, 17 grey levels stretched to 0..255."""
    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    for number, (image, label) in enumerate(zip(pixels, data.target, strict=True)):
        picture = Image.fromarray(image)
        yield Item(str(label), f"digits/{number:04d}", None, picture.copy)


def digits_photographed() -> Iterator[Item]:
    """The later half of the digits as if written on paper and photographed, the earlier as scans.

    The scans are the digits as they are, of another domain. The two halves have no digit in common.
    Of the later one 350 digits are to train on, 135 to validate and 414 to test.
    """
    every = list(digits())
    half = len(every) // 2
    for item in every[:half]:
        yield replace(item, split=OTHER_DOMAIN)
    for number, item in enumerate(every[half:]):
        split = "train" if number < 350 else "val" if number < 485 else "test"
        yield replace(item, split=split, open=partial(_opened, item.open, half + number))


def digits_rare() -> Iterator[Item]:
    """All digits photographed: 40 of each class to train on, and 4 of the digits 1 and 8.

    135 digits are to validate and 414 to test, the same as in `digits_photographed`.
    """
    every = list(digits())
    held_out, taken = len(every) - 549, dict.fromkeys(map(str, range(10)), 0)
    for number, item in enumerate(every):
        split = "train" if number < held_out else "val" if number < held_out + 135 else "test"
        if split == "train":
            taken[item.class_name] += 1
            if taken[item.class_name] > (4 if item.class_name in RARE_DIGITS else 40):
                continue
        yield replace(item, split=split, open=partial(_opened, item.open, number))


def _opened(scan: Callable[[], Image.Image], number: int) -> Image.Image:
    return photographed(scan(), number)


def photographed(scan: Image.Image, number: int) -> Image.Image:
    """Return white on black as dark ink on paper that the light falls upon from one side.

    Args:
        scan: grey.
        number: draws the light, the ink and the noise.
    """
    ink = np.asarray(scan) / 255
    drawn = np.random.default_rng([7, number])
    across, down = (np.arange(length) / (length - 1) - 0.5 for length in reversed(ink.shape))
    light, angle = drawn.uniform(0.55, 0.95), drawn.uniform(0, 2 * np.pi)
    slope = drawn.uniform(0.32, 0.63)
    paper = light + slope * (np.cos(angle) * across + np.sin(angle) * down[:, None])
    seen = paper * (1 - drawn.uniform(0.45, 0.9) * ink) + drawn.normal(0, 0.04, ink.shape)
    return Image.fromarray(np.rint(255 * seen.clip(0, 1)).astype(np.uint8))


EMBEDDED: dict[str, Callable[[], Iterator[Item]]] = {
    "digits": digits,
    "digits_photographed": digits_photographed,
    "digits_rare": digits_rare,
}

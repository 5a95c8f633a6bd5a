"""A look at a source before anything runs: counts of everything, and a sample that is decoded."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, image_id
from tasks.contracts.params.ingest import IngestParams
from tasks.data.decoding import is_grey, open_for, original_size, to_pixels
from tasks.data.items import OTHER_DOMAIN, RELATED, SPLITS, UNLABELLED, Item
from tasks.data.reading import read
from tasks.data.sources import items_of
from tasks.data.splits import hash_uniform

_TIMED = 32  # pixels that the sample is decoded to, which tells how long an image takes
_SAMPLE, _SECONDS = 400, 20.0  # the most images that are decoded, and the longest that it takes


@dataclass(frozen=True)
class Look:
    """What a source holds, by its listing and by a sample.

    Attributes:
        counts: labelled images by class, in every split.
        given: images by split and class where the source says the split; empty where it does not.
        unlabelled: images without a label.
        other_domain: labelled images of another domain by class, as far as there are any.
        related: images of related classes by class, likewise.
        groups: how many groups its images name.
        passed_over: files that are no image of any class.
        sample: images of every class that are no given test images, and could be read.
        sizes: width and height of each of them in pixels, ``[N, 2]``.
        grey: whether none of them has colour.
        unreadable: images of the sample that could not be read.
        seconds_per_image: what reading one took.
    """

    counts: Mapping[str, int]
    given: Mapping[str, Mapping[str, int]]
    unlabelled: int
    other_domain: Mapping[str, int]
    related: Mapping[str, int]
    groups: int
    passed_over: int
    sample: Sequence[Item]
    sizes: npt.NDArray[np.int64]
    grey: bool
    unreadable: int
    seconds_per_image: float

    @property
    def images(self) -> int:
        """Return how many labelled images there are."""
        return sum(self.counts.values())

    @property
    def rarest(self) -> tuple[str, int]:
        """Return the class with the fewest images, and how many."""
        name = min(self.counts, key=lambda one: (self.counts[one], one))
        return name, self.counts[name]

    def expected(self, params: IngestParams) -> dict[str, dict[str, int]]:
        """Return about how many images of each class each split, of each fold, will hold."""
        counts: dict[str, dict[str, int]] = {name: {} for name in SPLITS}
        shares = {"val": params.val_share, "test": params.test_share}
        if params.folds:
            shares["test"] = 1 / params.folds
        for name, number in self.counts.items():
            held = {
                split: self.given[split].get(name, 0)
                if split in self.given
                else round(share * self._undecided(name))
                for split, share in shares.items()
            }
            train = max(0, number - sum(held.values()))
            held["train"] = train if params.per_class is None else min(train, params.per_class)
            for split in SPLITS:
                counts[split][name] = held[split]
        return counts

    def tested(self, params: IngestParams) -> dict[str, int]:
        """Return about how many images of each class are tested on, over all folds."""
        return dict(self.counts) if params.folds else self.expected(params)["test"]

    def _undecided(self, name: str) -> int:
        return self.counts[name] - sum(
            self.given[split].get(name, 0) for split in ("val", "test") if split in self.given
        )

    def decoded(self, params: IngestParams, seed: int) -> ImageSet:
        """Return the sample as ingest would make it, without images that it puts into real/test.

        With folds there are no such: every image is trained on too. What is decided by the sample
        alone, mirroring, is asked without the classes.

        Raises:
            UserError: nothing is left.
        """
        channels = 1 if params.channels == 1 or (params.channels == "auto" and self.grey) else 3
        asked = {"channels": channels, "frames": "first"}
        done = read(self.sample, params.model_copy(update=asked), lambda share, text: None)
        pixels, rows = [], []
        for image, item in zip(done.pixels, done.items, strict=True):
            one = image_id(image)
            drawn = hash_uniform(item.group or one, seed, "split")
            if item.split or params.folds or drawn >= params.test_share:
                pixels.append(image)
                rows.append((one, item.class_name, item.source))
        if not rows:
            raise UserError("ingest.source", "too few images to plan by", "Add images")
        manifest = pd.DataFrame(rows, columns=["image_id", "class_name", "source"])
        labels = np.unique(manifest["class_name"].to_numpy(str), return_inverse=True)[1]
        manifest = manifest.assign(label=labels, origin="real", group=manifest["image_id"])
        once = ~manifest["image_id"].duplicated().to_numpy()
        return ImageSet(np.stack(pixels), manifest).take(np.flatnonzero(once))


def look(source: Path) -> Look:
    """List a source and decode a sample of it.

    Raises:
        UserError: as `items_of`, or no image of the sample can be read.
    """
    listing = items_of(source)
    beside = {name: Counter[str]() for name in (UNLABELLED, OTHER_DOMAIN, RELATED)}
    for item in listing.items:
        if item.split in beside:
            beside[item.split][item.class_name] += 1
    labelled = [item for item in listing.items if item.split not in beside]
    given: dict[str, Counter[str]] = {}
    for item in labelled:
        if item.split:
            given.setdefault(item.split, Counter())[item.class_name] += 1
    could: list[Item] = []
    sizes, grey, unreadable, began = [], True, 0, time.perf_counter()
    for item in _sample([item for item in labelled if item.split != "test"]):
        try:
            image = open_for(item.open, _TIMED, "pad")
        except Exception:  # whatever a decoder raises: ingest names the file and the reason
            unreadable += 1
            continue
        could.append(item)
        sizes.append(original_size(image))
        grey = grey and is_grey(image)
        to_pixels(image, size=_TIMED, channels=1 if grey else 3, fit="pad")
        if time.perf_counter() - began > _SECONDS:
            break
    took = time.perf_counter() - began
    if not could:
        raise UserError(
            str(source),
            f"none of the {unreadable} images that were tried could be read",
            "Check the files with an image viewer",
        )
    return Look(
        counts=dict(sorted(Counter(item.class_name for item in labelled).items())),
        given=given,
        unlabelled=beside[UNLABELLED].total(),
        other_domain=beside[OTHER_DOMAIN],
        related=beside[RELATED],
        groups=len({item.group for item in labelled if item.group is not None}),
        passed_over=len(listing.passed_over),
        sample=could,
        sizes=np.array(sizes, dtype=np.int64),
        grey=grey,
        unreadable=unreadable,
        seconds_per_image=took / (len(could) + unreadable),
    )


def _sample(items: Sequence[Item]) -> list[Item]:
    """Return images spread evenly over every class, and the classes in turn."""
    by_class: dict[str, list[Item]] = {}
    for item in items:
        by_class.setdefault(item.class_name, []).append(item)
    each = max(2, _SAMPLE // max(1, len(by_class)))
    chosen = [
        [some[row] for row in np.unique(np.linspace(0, len(some) - 1, each).astype(int))]
        for _, some in sorted(by_class.items())
    ]
    return [some[turn] for turn in range(each) for some in chosen if turn < len(some)]

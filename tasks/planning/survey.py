"""A look at a source before anything runs: counts, sizes, and a sample of decoded images."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tasks.data.decoding import DEEP, is_grey, scaled, white_of
from tasks.data.items import UNLABELLED, Item
from tasks.data.sources import items_of

_MOST = 300  # images of the sample
_SECONDS = 6.0  # to decode it in


@dataclass(frozen=True)
class Survey:
    """What a source holds.

    Attributes:
        source: the folder or file.
        counts: labelled images of each class, by name.
        given: likewise of each split that the source gives; empty if it gives none.
        groups: distinct groups that are given, 0 without any.
        unlabelled: images without a label.
        passed_over: files that are no images.
        sample: decoded images, mode ``L`` or ``RGB``, none of which the source holds out as test.
        sides: width and height of each, int64 ``[S, 2]``.
        seconds: CPU seconds to decode one image, in the mean.
    """

    source: Path
    counts: Mapping[str, int]
    given: Mapping[str, Mapping[str, int]]
    groups: int
    unlabelled: int
    passed_over: int
    sample: Sequence[Image.Image]
    sides: npt.NDArray[np.int64]
    seconds: float

    @property
    def images(self) -> int:
        """Labelled images."""
        return sum(self.counts.values())

    @property
    def rarest(self) -> tuple[str, int]:
        """The class with the fewest images, and how many."""
        name = min(self.counts, key=lambda one: (self.counts[one], one))
        return name, self.counts[name]

    @property
    def shorter_side(self) -> int:
        """Median of the shorter sides, in pixels."""
        return int(np.median(self.sides.min(axis=1)))

    @property
    def channels(self) -> int:
        """1 where every image of the sample is grey, else 3."""
        return 1 if all(is_grey(image) for image in self.sample) else 3


def survey(source: Path, group_pattern: str | None) -> Survey:
    """List a source and decode a sample of it, the same one each time.

    Raises:
        UserError: as `items_of`.
    """
    listing = items_of(source, group_pattern)
    labelled = [item for item in listing.items if item.split != UNLABELLED]
    given: dict[str, Counter[str]] = {}
    for item in labelled:
        if item.split is not None:
            given.setdefault(item.split, Counter())[item.class_name] += 1
    sample, seconds = _sample(labelled)
    return Survey(
        source,
        dict(sorted(Counter(item.class_name for item in labelled).items())),
        given,
        len({item.group for item in labelled if item.group is not None}),
        len(listing.items) - len(labelled),
        len(listing.passed_over),
        sample,
        np.array([image.size for image in sample], dtype=np.int64).reshape(-1, 2),
        seconds,
    )


def _sample(items: Sequence[Item]) -> tuple[list[Image.Image], float]:
    """Decode images in the order of a hash of their names, as many as there is time for."""
    seen = [item for item in items if item.split != "test"]
    seen.sort(key=lambda item: hashlib.sha256(item.source.encode()).digest())
    began = time.process_time()
    images: list[Image.Image] = []
    tried = 0
    for item in seen[:_MOST]:
        tried += 1
        try:
            image = item.open()
        except Exception:  # ingest will name it; decoders raise whatever they run into
            continue
        if image.mode == DEEP:
            image = scaled(image, white_of(int(np.asarray(image).max(initial=0))))
        images.append(image)
        if time.process_time() - began > _SECONDS:
            break
    return images, (time.process_time() - began) / max(1, tried)

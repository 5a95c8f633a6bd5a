"""Labelled images to train on or to judge, as rows of stored images: nothing is copied to choose.

A worker process that is sent some opens the file of a memory-mapped array for itself.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.contracts.image_set import Images, ImageSet, Labels

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Examples:
    """N labelled images.

    Attributes:
        sources: stored images, uint8 ``[M, H, W, C]`` each, memory-mapped where they have a file.
        places: ``[N]``, the row of each image, counted through all sources.
        labels: int64 ``[N]``.
        identity: hash of image ids, labels and order: of equal identity, equal images.
    """

    sources: tuple[Images, ...]
    places: Rows
    labels: Labels
    identity: str

    @classmethod
    def of(cls, images: ImageSet | Examples, rows: Rows | None = None) -> Examples:
        """Return the given rows of a set, by default all, in that order."""
        if isinstance(images, Examples):
            return images if rows is None else images.take(rows)
        places = np.arange(len(images)) if rows is None else rows
        labels = images.labels[places]
        ids = "\n".join(images.manifest["image_id"].iloc[places])
        return cls((images.images,), places, labels, _hash(ids.encode(), labels))

    def __len__(self) -> int:
        return len(self.places)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the names of the files: of memory-mapped images none is sent."""
        return _opened, (
            tuple(map(_file_of, self.sources)),
            self.places,
            self.labels,
            self.identity,
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        _, height, width, channels = self.sources[0].shape
        return height, width, channels

    def take(self, rows: Rows) -> Examples:
        """Return the images at the given row numbers, in that order."""
        identity = _hash(self.identity.encode(), rows)
        return Examples(self.sources, self.places[rows], self.labels[rows], identity)

    def joined(self, others: Examples) -> Examples:
        """Return these images, then the others."""
        first = sum(map(len, self.sources))
        return Examples(
            self.sources + others.sources,
            np.concatenate([self.places, others.places + first]),
            np.concatenate([self.labels, others.labels]),
            _hash(self.identity.encode(), others.identity.encode()),
        )

    def pixels(self, rows: Rows | slice) -> Images:
        """Read images at the given row numbers: uint8 ``[n, H, W, C]``."""
        places = self.places[rows]
        if len(self.sources) == 1:
            return np.asarray(self.sources[0][places])
        read, first = np.empty((len(places), *self.image_shape), dtype=np.uint8), 0
        for source in self.sources:
            mine = (places >= first) & (places < first + len(source))
            read[mine] = source[places[mine] - first]
            first += len(source)
        return read

    def blocks(self, size: int) -> Iterator[Images]:
        """Read all images in order, as many as `size` at a time."""
        for start in range(0, len(self), size):
            yield self.pixels(slice(start, start + size))


@dataclass(frozen=True)
class _File:
    """Where the images of a memory-mapped source lie."""

    path: str
    offset: int
    shape: tuple[int, ...]


def _file_of(source: Images) -> Images | _File:
    below: object = source.base
    if isinstance(source, np.memmap) and isinstance(below, mmap.mmap):  # the file, not a part of it
        return _File(str(source.filename), source.offset, source.shape)
    return source


def _opened(
    sources: tuple[Images | _File, ...], places: Rows, labels: Labels, identity: str
) -> Examples:
    opened = tuple(
        np.memmap(one.path, np.uint8, "r", one.offset, one.shape) if isinstance(one, _File) else one
        for one in sources
    )
    return Examples(opened, places, labels, identity)


def _hash(*parts: bytes | npt.NDArray[np.int64]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8) + (part if isinstance(part, bytes) else part.tobytes()))
    return digest.hexdigest()

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

from tasks.contracts.image_set import SHARES, Images, ImageSet, Labels

Rows = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Examples:
    """N labelled images.

    Attributes:
        sources: stored images, uint8 ``[M, H, W, C]`` each, memory-mapped where they have a file.
        places: ``[N]``, the row of each image, counted through all sources.
        labels: int64 ``[N]``.
        identity: hash of image ids, labels and order: of equal identity, equal images.
        shares: soft labels ``[N, K]``, the shares of the classes; None: ``labels`` say it all.
    """

    sources: tuple[Images, ...]
    places: Rows
    labels: Labels
    identity: str
    shares: Shares | None = None

    @classmethod
    def of(cls, images: ImageSet | Examples, rows: Rows | None = None) -> Examples:
        """Return the given rows of a set, by default all, in that order."""
        if isinstance(images, Examples):
            return images if rows is None else images.take(rows)
        places = np.arange(len(images)) if rows is None else rows
        labels = images.labels[places]
        ids = "\n".join(images.manifest["image_id"].iloc[places])
        shares = _shares_of(images, places)
        known = (ids.encode(), labels) if shares is None else (ids.encode(), labels, shares)
        return cls((images.images,), places, labels, _hash(*known), shares)

    def __len__(self) -> int:
        return len(self.places)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the names of the files: of memory-mapped images none is sent."""
        return _opened, (
            tuple(map(_file_of, self.sources)),
            self.places,
            self.labels,
            self.identity,
            self.shares,
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        _, height, width, channels = self.sources[0].shape
        return height, width, channels

    def take(self, rows: Rows) -> Examples:
        """Return the images at the given row numbers, in that order."""
        identity = _hash(self.identity.encode(), rows)
        shares = None if self.shares is None else self.shares[rows]
        return Examples(self.sources, self.places[rows], self.labels[rows], identity, shares)

    def joined(self, others: Examples) -> Examples:
        """Return these images, then the others."""
        first = sum(map(len, self.sources))
        return Examples(
            self.sources + others.sources,
            np.concatenate([self.places, others.places + first]),
            np.concatenate([self.labels, others.labels]),
            _hash(self.identity.encode(), others.identity.encode()),
            self._joined_shares(others),
        )

    def _joined_shares(self, others: Examples) -> Shares | None:
        """Soft labels of both; a label alone is a share of 1."""
        soft = [part.shares for part in (self, others) if part.shares is not None]
        if not soft:
            return None
        whole = np.eye(soft[0].shape[1], dtype=np.float32)
        each = (
            part.shares if part.shares is not None else whole[part.labels]
            for part in (self, others)
        )
        return np.concatenate(list(each))

    def targets(self, rows: Rows) -> npt.NDArray[Any]:
        """Return what a classifier is to say: labels ``[n]``, or soft ones ``[n, K]``."""
        targets: npt.NDArray[Any] = (self.labels if self.shares is None else self.shares)[rows]
        return targets

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
    sources: tuple[Images | _File, ...],
    places: Rows,
    labels: Labels,
    identity: str,
    shares: Shares | None,
) -> Examples:
    opened = tuple(
        np.memmap(one.path, np.uint8, "r", one.offset, one.shape) if isinstance(one, _File) else one
        for one in sources
    )
    return Examples(opened, places, labels, identity, shares)


def _shares_of(images: ImageSet, places: Rows) -> Shares | None:
    """Soft labels ``[n, K]`` of some rows, None where these have none."""
    if SHARES not in images.manifest:
        return None
    soft = images.manifest[SHARES].iloc[places]
    given = len(soft) > 0 and soft.notna().all()
    return np.stack(soft.to_list()).astype(np.float32) if given else None


def _hash(*parts: bytes | npt.NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8) + (part if isinstance(part, bytes) else part.tobytes()))
    return digest.hexdigest()

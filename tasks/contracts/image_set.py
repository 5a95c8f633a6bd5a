"""ImageSet: the one noun that every stage reads and writes.

A folder with ``images.npy`` (uint8 ``[N, H, W, C]``) and ``manifest.parquet`` (one row an
image, in the same order). Same content, same bytes: an ImageSet holds no clock times.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Protocol, Self, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.contracts.errors import UserError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

_CHUNK_BYTES = 16 * 2**20  # of images in memory at a time, where they are copied
SHARES = "label_shares"  # column: a soft label, the K classes' shares of the image
COLUMNS = ("image_id", "label", "class_name", "origin", "source", "group")


def image_id(image: Images) -> str:
    """Return the sha256 of one image's shape and pixels (``[H, W, C]`` uint8) as hex."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


class Stored(Protocol):
    """Images, uint8 ``[N, H, W, C]``, of which some can be read at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, C)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any) -> Images: ...


class Unread:
    """Chosen rows of images on the disk: indexing reads those that are asked for.

    It stands for an array where choosing and joining must not hold the images: ingest cleans and
    splits more of them than fit into memory.

    Args:
        stores: of equal image shape.
        rows: int64 ``[N]``, counted through all stores.
    """

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, stores: Sequence[Stored], rows: npt.NDArray[np.int64]) -> None:
        self._stores, self._rows = tuple(stores), rows
        self.shape = (len(rows), *self._stores[0].shape[1:])

    @classmethod
    def of(cls, images: Stored | Unread) -> Unread:
        """Return all rows of a store."""
        return images if isinstance(images, Unread) else cls([images], np.arange(len(images)))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Images:
        if np.ndim(index) == 0 and not isinstance(index, slice):
            image: Images = self[[index]][0]
            return image
        rows = self._rows[index]
        images = np.empty((len(rows), *self.shape[1:]), dtype=np.uint8)
        start = 0
        for store in self._stores:
            mine = (rows >= start) & (rows < start + len(store))
            images[mine] = store[rows[mine] - start]
            start += len(store)
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """Return some of the rows, unread."""
        return type(self)(self._stores, self._rows[rows])

    def joined(self, other: Unread) -> Unread:
        """Return the rows of both, unread."""
        before = sum(map(len, self._stores))
        rows = np.concatenate([self._rows, before + other._rows])
        return Unread(self._stores + other._stores, rows)


@dataclass(frozen=True)
class ImageSet:
    """Images and their manifest.

    Attributes:
        images: uint8 ``[N, H, W, C]``, values 0 to 255, C is 1 or 3; may be memory-mapped, or
            `Unread`.
        manifest: N rows with at least ``COLUMNS``: ``image_id`` (sha256 of the pixels),
            ``label`` (int64, 0 to K-1; -1: unlabelled), ``class_name`` (empty: unlabelled),
            ``origin`` (``real`` or ``synthetic``), ``source`` (relative path, ``hidden/`` and
            the id where a path would tell a hidden label, or checkpoint hash and latent seed),
            ``group`` (images that belong together, by default the image itself).
    """

    images: Images
    manifest: pd.DataFrame

    def __post_init__(self) -> None:
        missing = [column for column in COLUMNS if column not in self.manifest.columns]
        if missing:
            raise ValueError(f"manifest lacks the columns {missing}")
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(
                f"images must be uint8 [N, H, W, C], not {self.images.dtype} {self.images.shape}"
            )
        if len(self.images) != len(self.manifest):
            raise ValueError(f"{len(self.images)} images but {len(self.manifest)} manifest rows")

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def labels(self) -> Labels:
        """Labels, int64 ``[N]``."""
        return self.manifest["label"].to_numpy(np.int64, copy=True)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in the order of their labels, of the classes that are present."""
        pairs = self.manifest[["label", "class_name"]].drop_duplicates("label")
        return tuple(pairs.sort_values("label")["class_name"])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    def take(self, rows: Sequence[int] | npt.NDArray[Any]) -> ImageSet:
        """Return the images at the given row numbers (or under a boolean mask), in that order.

        Of `Unread` images none is read.
        """
        index = np.asarray(rows)
        if index.dtype == np.bool_:
            index = np.flatnonzero(index)
        index = index.astype(np.int64)  # an empty list is float64 otherwise
        unread = isinstance(self.images, Unread)
        images = self.images.take(index) if unread else np.asarray(self.images[index])
        return ImageSet(cast(Images, images), self.manifest.iloc[index].reset_index(drop=True))

    def save(self, folder: Path) -> None:
        """Write the set into ``folder`` (made if need be)."""
        save_rows([(self, np.arange(len(self)))], folder)

    @classmethod
    def load(cls, folder: Path) -> ImageSet:
        """Read a set; the images are memory-mapped, read-only.

        Raises:
            UserError: a file is missing or damaged.
        """
        pixels, manifest = folder / "images.npy", folder / "manifest.parquet"
        for path in (pixels, manifest):
            if not path.is_file():
                raise UserError(
                    str(folder),
                    f"{path.name} is missing, so this is no image set",
                    "Run `ganlift run`, which makes every image set in order",
                )
        try:
            images = np.load(pixels, mmap_mode="r", allow_pickle=False)
            return cls(images, pd.read_parquet(manifest))
        except (ValueError, OSError, EOFError) as error:  # pyarrow's errors are ValueErrors
            raise UserError(
                str(folder),
                f"the image set is damaged ({error})",
                "Remove the folder and run `dvc checkout`, or `ganlift run`",
            ) from None


def save_rows(parts: Sequence[tuple[ImageSet, npt.NDArray[Any]]], folder: Path) -> None:
    """Write the given rows of several sets into ``folder``, as one set, without holding its images.

    The bytes are those of ``concatenate([s.take(rows) for s, rows in parts]).save(folder)``; the
    images are copied a few megabytes at a time.

    Args:
        parts: sets of equal image shape with the row numbers wanted of each.
        folder: made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shape = (sum(len(rows) for _, rows in parts), *parts[0][0].image_shape)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    step = max(1, _CHUNK_BYTES // max(1, int(np.prod(shape[1:]))))
    beside = folder / ".images.npy"  # the folder may hold what is read: a map of a cut file kills
    with beside.open("wb") as file:  # mapped, all of it would count as memory
        np.lib.format.write_array_header_1_0(file, header)
        for image_set, rows in parts:
            for start in range(0, len(rows), step):
                chunk = image_set.images[rows[start : start + step]]
                file.write(np.ascontiguousarray(chunk).data)
    beside.replace(folder / "images.npy")
    manifests = [image_set.manifest.iloc[rows] for image_set, rows in parts]
    manifest = pd.concat(manifests, ignore_index=True)
    manifest.to_parquet(folder / "manifest.parquet", index=False)


def concatenate(sets: Sequence[ImageSet]) -> ImageSet:
    """Join sets of equal image shape, in order; columns are the union.

    Where one's images are `Unread`, none is read.
    """
    every = [image_set.images for image_set in sets]
    if any(isinstance(images, Unread) for images in every):
        images = cast(Images, reduce(Unread.joined, map(Unread.of, every)))
    else:
        images = np.concatenate(every)
    manifest = pd.concat([image_set.manifest for image_set in sets], ignore_index=True)
    return ImageSet(images, manifest)

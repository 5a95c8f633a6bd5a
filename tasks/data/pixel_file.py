"""Pixels packed into a file as they come, so that no more than a few images are in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tasks.contracts.image_set import Images

_BUFFER = 2**20
_READ = 256  # images at a time, where all are gone through


class PixelFile:
    """Square images, one after the other in a file that has no name and ends with this object.

    As long as all are grey they have one channel; the first with colour gives three to all.

    Args:
        size: side of an image in pixels.
        scratch: folder on the disk to write in, made if need be; None is the system's own, which
            may lie in memory.
    """

    def __init__(self, size: int, scratch: Path | None) -> None:
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        self._size, self._scratch, self._count, self._depth = size, scratch, 0, 1
        self._file = self._opened()

    def __del__(self) -> None:
        self._file.close()

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, size, size, C)."""
        return self._count, self._size, self._size, self._depth

    def __len__(self) -> int:
        return self._count

    def add(self, pixels: Images) -> None:
        """Append an image, uint8 ``[size, size, C]``, C is 1 or 3."""
        depth = pixels.shape[2]
        if depth > self._depth:
            self._widen(depth)
        elif depth < self._depth:
            pixels = np.repeat(pixels, self._depth, axis=2)
        self._file.write(pixels.tobytes())
        self._count += 1

    def __getitem__(self, rows: npt.NDArray[np.int64] | slice) -> Images:
        """Return a copy of some images, uint8 ``[n, size, size, C]``."""
        return np.array(self._mapped()[rows])

    def __setitem__(self, row: int, pixels: Images) -> None:
        """Write another image over one."""
        self._mapped()[row] = pixels

    def __iter__(self) -> Iterator[Images]:
        for start in range(0, self._count, _READ):
            yield from self[start : start + _READ]

    def _mapped(self) -> Images:
        # anew each time: what was read of a map counts as memory for as long as it lasts
        if not self._count:  # nothing cannot be mapped
            return np.empty(self.shape, dtype=np.uint8)
        self._file.flush()
        return np.memmap(self._file, np.uint8, mode="r+", shape=self.shape)

    def _widen(self, depth: int) -> None:
        grey, self._depth = self._file, depth
        self._file = self._opened()
        grey.seek(0)
        while block := grey.read(_BUFFER):
            self._file.write(np.frombuffer(block, np.uint8).repeat(depth).tobytes())
        grey.close()

    def _opened(self) -> IO[Any]:
        return tempfile.TemporaryFile(buffering=_BUFFER, dir=self._scratch)

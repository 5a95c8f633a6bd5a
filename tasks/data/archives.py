"""Archives as trees: ``.zip`` and ``.tar`` with any compression, read without unpacking.

Names inside an archive are labels and nothing more: no file is ever written by them. A member is
read up to `LARGEST` bytes, so that an archive cannot fill the memory.
"""

from __future__ import annotations

import atexit
import bz2
import gzip
import lzma
import os
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tasks.contracts.errors import UserError
from tasks.data.items import Place, Rejected
from tasks.data.trees import Tree, told, tree_of

LARGEST = 256 * 2**20  # bytes of a member, unpacked
_MOST = 64 * 2**30  # bytes of a compressed tar, unpacked
_BLOCK = 2**24
_COMPRESSIONS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)
_AGAIN = "Make the archive again, or unpack it and give the folder"


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One file of a zip archive."""

    archive: Path
    name: str

    def read(self) -> bytes:
        """Return its bytes; OSError where it is damaged."""
        try:
            return _zip(self.archive).read(self.name)
        except (zipfile.BadZipFile, NotImplementedError, zlib.error, lzma.LZMAError) as error:
            raise OSError(str(error)) from error


@dataclass(frozen=True, slots=True)
class TarMember:
    """One file of a tar archive: where its bytes lie in the unpacked stream."""

    archive: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """Return its bytes; OSError where the archive ends before them."""
        # by its place, since threads share the stream
        content = os.pread(_stream(self.archive).fileno(), self.size, self.offset)
        if len(content) != self.size:
            raise OSError("the archive ends inside this file")
        return content


def zip_tree(path: Path) -> Tree:
    """Return the tree of a zip archive.

    Raises:
        UserError: it is damaged or encrypted.
    """
    left: list[Rejected] = []
    try:
        members = {one.filename: one for one in _zip(path).infolist()}  # the last of a name wins
    except _BROKEN as error:
        raise UserError(str(path), f"no readable zip archive ({error})", _AGAIN) from None
    locked = [one.filename for one in members.values() if one.flag_bits & 1]
    if locked:
        raise UserError(
            str(path), f"{locked[0]} is encrypted", "Unpack it with its password; give the folder"
        )

    def entries() -> Iterator[tuple[str, Place | None]]:
        for name, one in members.items():
            if _fits(name, one.file_size, left):
                yield name, None if one.is_dir() else ZipMember(path, name)

    tree = tree_of(entries())
    return Tree(tree.leaves, tree.folders, tree.passed_over + left)


def tar_tree(path: Path) -> Tree:
    """Return the tree of a tar archive.

    Raises:
        UserError: it is damaged.
    """
    left: list[Rejected] = []
    try:
        stream = _stream(path)
        stream.seek(0)
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            members = {one.name: one for one in archive}
    except _BROKEN as error:
        raise UserError(str(path), f"no readable tar archive ({error})", _AGAIN) from None

    def entries() -> Iterator[tuple[str, Place | None]]:
        for name, one in members.items():
            if not (one.isfile() or one.isdir()):
                reason = "a link inside an archive"
                left.append(Rejected(told(name), "", reason, "Pack the file itself"))
            elif _fits(name, one.size, left):
                member = TarMember(path, one.offset_data, one.size)
                yield name.removeprefix("./"), None if one.isdir() else member

    tree = tree_of(entries())
    return Tree(tree.leaves, tree.folders, tree.passed_over + left)


ARCHIVES: dict[str, Callable[[Path], Tree]] = {
    ".zip": zip_tree,
    ".tar": tar_tree,
    **dict.fromkeys((".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz"), tar_tree),
}
"""How to read an archive, by the end of its name in lower case."""


def archive_reader(path: Path) -> Callable[[Path], Tree] | None:
    """Return what reads a file as an archive, by its name; None if it is none."""
    name = path.name.lower()
    return next((read for end, read in ARCHIVES.items() if name.endswith(end)), None)


def _fits(name: str, size: int, left: list[Rejected]) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        left.append(
            Rejected(told(name), "", "its path leads out of the archive", "Pack it again inside")
        )
        return False
    if size > LARGEST:
        reason = f"{size / 2**20:,.0f} MiB unpacked, more than {LARGEST / 2**20:.0f} MiB"
        left.append(Rejected(told(name), "", reason, "Make the image smaller"))
        return False
    return True


@lru_cache(maxsize=2)
def _zip(path: Path) -> zipfile.ZipFile:
    """Keep the index of an archive: reading it for each image would cost the square of them."""
    archive = zipfile.ZipFile(path)
    atexit.register(archive.close)
    return archive


@lru_cache(maxsize=2)
def _stream(path: Path) -> IO[bytes]:
    """Return the bytes of a tar, unpacked into a file without a name if they are compressed."""
    plain = path.open("rb")
    atexit.register(plain.close)
    start = plain.read(6)
    plain.seek(0)
    unpack = next((by for magic, by in _COMPRESSIONS.items() if start.startswith(magic)), None)
    if unpack is None:
        return plain
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the process
    atexit.register(unpacked.close)
    with plain, unpack(plain) as packed:
        while block := packed.read(_BLOCK):
            unpacked.write(block)
            if unpacked.tell() > _MOST:
                raise OSError(f"more than {_MOST / 2**30:.0f} GiB unpacked")
    unpacked.flush()
    return unpacked

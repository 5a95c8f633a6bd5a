"""A source as a tree of named files: a folder, or an archive that is read without unpacking.

What computers leave behind (thumbnails, indexes, copies of forks) is told apart here, once for
every form of source. Nothing is ever written.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tasks.data.decoding import SUFFIXES, UNDECODABLE, ImageFile
from tasks.data.items import Item, Place, Rejected

_Entry = tuple[str, Place | None]
_RENAME = "Nothing, unless it is one of your images: then rename it"
_TOOLS = frozenset({".git", ".dvc", ".hg", ".svn"})  # stores of other tools, not a word of which
_LITTER = frozenset(
    name.casefold()
    for name in (
        "__MACOSX", "@eaDir", "@Recycle", "#recycle", "#snapshot", "$RECYCLE.BIN", "lost+found",
        "System Volume Information", "Thumbs.db", "ehthumbs.db", "desktop.ini",
    )
)  # fmt: skip


@dataclass(frozen=True)
class Leaf:
    """A file of a tree.

    Attributes:
        name: its path below the tree, as text that any file can hold (see `told`).
        place: where its bytes are.
    """

    name: str
    place: Place

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders above it and its own name."""
        return PurePosixPath(self.name).parts

    @property
    def suffix(self) -> str:
        """The suffix of its name in lower case, with the dot."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def is_image(self) -> bool:
        """Whether its suffix is that of an image."""
        return self.suffix in SUFFIXES

    def item(self, class_name: str, split: str | None, group: str | None = None) -> Item:
        """Return the image that it holds."""
        return Item(class_name, self.name, split, ImageFile(self.place), group)

    def no_image(self) -> Rejected:
        """Return why it is passed over, if its suffix is not that of an image."""
        if self.suffix in UNDECODABLE:
            return Rejected(
                self.name, "", f"{self.suffix} files cannot be decoded", "Convert it to PNG or JPEG"
            )
        what = f"{self.suffix} is" if self.suffix else "no suffix: without one, it is"
        mend = "Nothing, unless it is an image: then give it its suffix"
        return Rejected(self.name, "", f"{what} not taken for an image", mend)


@dataclass(frozen=True)
class Tree:
    """The files of a source.

    Attributes:
        leaves: in the order of their names.
        folders: names of all folders below the top, empty ones too.
        passed_over: what is no file of a person's: litter of systems.
    """

    leaves: list[Leaf]
    folders: frozenset[str]
    passed_over: list[Rejected] = field(default_factory=list)


def content(place: Place) -> bytes:
    """Return a file's bytes.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    return place.read_bytes() if isinstance(place, Path) else place.read()


def told(name: str) -> str:
    """Return a path as text: composed (NFC), bytes that are no UTF-8 escaped.

    Two systems write the same name in two Unicode forms; a class must not fall in two by that.
    """
    text = name.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="backslashreplace")
    return unicodedata.normalize("NFC", text)


def tree_of(
    entries: Iterator[tuple[str, Place | None]], passed_over: list[Rejected] | None = None
) -> Tree:
    """Sort entries, named below the top, into a tree; a place of None is a folder."""
    leaves: list[Leaf] = []
    folders: set[str] = set()
    left = list(passed_over or [])
    for name, place in entries:
        parts = PurePosixPath(name).parts
        if _TOOLS.intersection(parts):
            continue
        litter = next((part for part in parts if _is_litter(part)), None)
        if litter is not None:
            if place is not None:
                reason = f"{litter} is left behind by a system, not by a person"
                left.append(Rejected(told(name), "", reason, _RENAME))
            continue
        folder = parts if place is None else parts[:-1]
        folders.update(told("/".join(folder[: depth + 1])) for depth in range(len(folder)))
        if place is not None:
            leaves.append(Leaf(told(name), place))
    leaves.sort(key=lambda leaf: leaf.parts)
    return Tree(leaves, frozenset(folders), sorted(left, key=lambda one: one.source))


def folder_tree(top: Path) -> Tree:
    """Return the tree of a folder. Links are followed, but never back to a folder above."""
    return tree_of(_walk(top, "", frozenset()))


def _walk(folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[_Entry]:
    here = folder.stat()
    inode = (here.st_dev, here.st_ino)
    if inode in above:
        return
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        name = prefix + entry.name
        if entry.name in _TOOLS:
            continue
        if entry.is_dir():
            yield name, None
            yield from _walk(folder / entry.name, f"{name}/", above | {inode})
        else:  # a link to nothing too: opening it will say so
            yield name, folder / entry.name


def _is_litter(part: str) -> bool:
    return part.startswith(".") or part.casefold() in _LITTER

"""What a source lists before anything is decoded: its images, and the files that it passed over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from PIL import Image

SPLITS = ("train", "val", "test")
UNLABELLED = "unlabelled"
OTHER_DOMAIN = "other_domain"  # the same classes, taken otherwise: by another camera, or drawn
RELATED = "related"  # other classes, which nobody asks about
HELD_OUT = {"test": 0, "val": 1, "train": 2}
"""Given splits, the most held out first: where one thing stands in two, it stays there."""
SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip
"""What sources call the splits, in lower case."""


class Packed(Protocol):
    """A file inside another one. Can be pickled, so that another process opens it too."""

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            OSError, ValueError: the file around it is damaged here.
        """


Place = Path | Packed
"""Where the bytes of a file are."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source, not yet decoded.

    Attributes:
        class_name: its label's name, empty for one without a label.
        source: where it came from, relative to the source.
        split: the split that the source gives it, `UNLABELLED` for one without a label,
            `OTHER_DOMAIN` for one that is not of the domain asked about, `RELATED` for one of a
            class that is not asked about, None where ganlift is to choose.
        open: decodes it (see `open_image` for what that raises).
        group: what it belongs to (a patient, a part, a scene), None where nothing says so.
    """

    class_name: str
    source: str
    split: str | None
    open: Callable[[], Image.Image]
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file or an image that was left out, why, and what would bring it in."""

    source: str
    class_name: str
    reason: str
    mend: str


@dataclass(frozen=True)
class Listing:
    """What a source holds.

    Attributes:
        items: its images, in an order that does not depend on the file system; those without a
            label, of another domain and of related classes come last.
        passed_over: files that are no image of any class (litter of systems, other kinds of
            files), which count for nothing but are told.
    """

    items: list[Item]
    passed_over: list[Rejected] = field(default_factory=list)

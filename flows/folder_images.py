"""The images of a person's folder, which a command reads a part at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from flows.line_file import white_level
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images
from tasks.contracts.params.ingest import IngestParams
from tasks.data.decoding import SUFFIXES
from tasks.data.items import Item, Rejected
from tasks.data.reading import read
from tasks.data.trees import folder_tree

_CHUNK = 256  # images in memory at a time
_MOST_NAMED = 10  # unreadable files


@dataclass
class FolderImages:
    """What a folder holds, at any depth.

    Attributes:
        folder: it is only read.
        items: its images.
        unreadable: those of them that could not be read, so far.
    """

    folder: Path
    items: list[Item]
    unreadable: list[Rejected] = field(default_factory=list)

    @classmethod
    def below(cls, folder: Path) -> Self:
        """List the images of a folder.

        Raises:
            UserError: there is no such folder, or no image in it.
        """
        if not folder.is_dir():
            raise UserError(str(folder), "no such folder", "Give a folder of images")
        items = [leaf.item("", None) for leaf in folder_tree(folder).leaves if leaf.is_image]
        if not items:
            kinds = ", ".join(sorted(SUFFIXES))
            raise UserError(str(folder), f"holds no images ({kinds})", "Give a folder of images")
        return cls(folder, items)

    def pixels(
        self, params: IngestParams, title: str, console: Console
    ) -> Iterator[tuple[list[Item], Images]]:
        """Yield some images at a time, uint8 ``[N, H, W, C]``, seen as ingest would see them.

        Raises:
            UserError: none could be read; said at the end.
        """
        starts, white = range(0, len(self.items), _CHUNK), white_level()
        hidden = not console.is_terminal
        for start in track(starts, title, console=console, transient=True, disable=hidden):
            done = read(self.items[start : start + _CHUNK], params, lambda *_: None, white)
            self.unreadable += done.unreadable
            if done.items:
                yield done.items, done.pixels[:]
        if len(self.unreadable) == len(self.items):
            raise UserError(
                str(self.folder),
                f"none of its {len(self.items)} images could be read ({self.unreadable[0].reason})",
                "Check the files with an image viewer",
            )

    def show_skipped(self, console: Console) -> None:
        """Name the files that could not be read, the first of many."""
        for bad in self.unreadable[:_MOST_NAMED]:
            console.print(f"[yellow]skipped[/] {escape(bad.source)}: {escape(bad.reason)}")
        if len(self.unreadable) > _MOST_NAMED:
            console.print(f"[yellow]skipped[/] {len(self.unreadable) - _MOST_NAMED} more")

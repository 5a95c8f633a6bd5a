"""Read what a source lists: the pixels of what can be read, and what cannot with the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import joblib
import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images, ImageSet, Unread, image_id
from tasks.contracts.params.ingest import IngestParams
from tasks.data.decoding import (
    DEEP,
    ImageFile,
    is_grey,
    open_for,
    original_size,
    to_pixels,
    white_of,
)
from tasks.data.items import Item, Rejected
from tasks.data.pixel_file import PixelFile

_VIEWER = "Check the file with an image viewer; mend or remove it"
_BATCH = 8  # images that a thread decodes before it takes the next ones


@dataclass(frozen=True, slots=True)
class Original:
    """An image before it was fitted: its size in pixels, and how many frames its file has."""

    width: int
    height: int
    frames: int


@dataclass(frozen=True)
class Decoded:
    """What was read of some items.

    Attributes:
        pixels: of what could be read.
        items: theirs.
        originals: what each was before it was fitted into its square.
        unreadable: the others.
        white: the level that means white in grey images of more than 8 bits, None without one.
    """

    pixels: PixelFile
    items: list[Item]
    originals: list[Original]
    unreadable: list[Rejected]
    white: int | None

    @property
    def given(self) -> list[str | None]:
        """The split that the source gives each image."""
        return [item.split for item in self.items]

    @property
    def with_more_frames(self) -> int:
        """How many files have more pages or frames than the one that is used."""
        return sum(one.frames > 1 for one in self.originals)

    def digest(self, row: int) -> bytes:
        """Return a digest of an image before it was fitted, for which its file is read again.

        Raises:
            UserError: the file is not what it was.
        """
        image = _again(self.items[row])
        return hashlib.sha256(image.mode.encode() + image.tobytes()).digest()


def read(
    items: Sequence[Item],
    params: IngestParams,
    watch: Callable[[float, str], None],
    white: int | None = None,
    scratch: Path | None = None,
) -> Decoded:
    """Read what can be read, in the order of the items, and pack it into a file as it comes.

    Grey images of more than 8 bits share one scale: the data set's, so that two of them keep
    their relation. Grey images among coloured ones get three equal channels.

    Args:
        items: what to read.
        params: size, channels, fit and frames.
        watch: told the share that is done.
        white: the level that means white in deep images; None takes it from the largest level.
        scratch: see `PixelFile`.

    Raises:
        UserError: a file changed meanwhile.
    """
    kept: list[Item] = []
    originals: list[Original] = []
    unreadable: list[Rejected] = []
    deep: dict[int, int] = {}  # row -> largest level
    items = list(_frames(items, unreadable)) if params.frames == "all" else items
    packed = PixelFile(params.image_size, scratch)
    # threads, since Pillow's decoders do not hold Python's lock; they come in the order of items
    threads = joblib.Parallel(joblib.cpu_count(), "threading", "generator", batch_size=_BATCH)
    calls = (joblib.delayed(_one)(item, params, white) for item in items)
    for number, (item, one) in enumerate(zip(items, threads(calls), strict=True), start=1):
        if isinstance(one, Rejected):
            unreadable.append(one)
        else:
            if one.largest is not None:
                deep[len(kept)] = one.largest
            packed.add(one.pixels)
            originals.append(one.original)
            kept.append(item)
        watch(number / len(items), f"{number}/{len(items)} images")
    if not deep:
        return Decoded(packed, kept, originals, unreadable, None)
    common = white or white_of(max(deep.values()))
    for row, largest in deep.items():
        if white is None and white_of(largest) != common:  # was scaled by its own largest level
            packed[row] = _fitted(_again(kept[row]), params, common)
    return Decoded(packed, kept, originals, unreadable, common)


@dataclass(frozen=True, slots=True)
class _Fitted:
    """An image in its square; the largest level where it is deep."""

    pixels: Images
    original: Original
    largest: int | None


def _one(item: Item, params: IngestParams, white: int | None) -> _Fitted | Rejected:
    try:
        image = open_for(item.open, params.image_size, params.fit)
    except Exception as error:  # a decoder raises whatever its parser runs into
        return _unreadable(item, error)
    largest = int(np.asarray(image).max(initial=0)) if image.mode == DEEP else None
    pixels = _fitted(image, params, white or white_of(largest or 0))
    frames = int(image.info.get("frames", 1)) if params.frames == "first" else 1
    return _Fitted(pixels, Original(*original_size(image), frames), largest)


def _frames(items: Sequence[Item], unreadable: list[Rejected]) -> Iterator[Item]:
    """Yield an item for each page or frame; those of one file are one group."""
    for item in items:
        file = item.open
        if not isinstance(file, ImageFile):  # made by a program, not read
            yield item
            continue
        try:
            frames = file.frames()
        except Exception as error:  # as in `read`
            unreadable.append(_unreadable(item, error))
            continue
        if frames == 1:
            yield item
            continue
        group = item.group or item.source
        for frame in range(frames):
            opened = replace(file, frame=frame)
            yield replace(item, source=f"{item.source}#{frame}", open=opened, group=group)


def _again(item: Item) -> Image.Image:
    """Open what could be opened before.

    Raises:
        UserError: it no longer can.
    """
    try:
        return item.open()
    except Exception as error:  # as in `read`
        reason = f"changed while it was read: {_told(error)}"
        raise UserError(item.source, reason, "Run again when nothing writes into it") from None


def _fitted(image: Image.Image, params: IngestParams, white: int) -> Images:
    one_channel = params.channels == 1 or (params.channels == "auto" and is_grey(image))
    channels = 1 if one_channel else 3
    return to_pixels(image, size=params.image_size, channels=channels, fit=params.fit, white=white)


def decode(
    items: Sequence[Item],
    params: IngestParams,
    watch: Callable[[float, str], None],
    scratch: Path | None = None,
) -> tuple[ImageSet, Decoded]:
    """Decode every labelled item: the images with their manifest, and what else is known of them.

    The images are `Unread`. Beside the columns of every manifest stand ``original_width`` and
    ``original_height`` in pixels.

    Raises:
        UserError: nothing could be read.
    """
    done = read(items, params, watch, scratch=scratch)
    kept = done.items
    if not kept:
        raise UserError(
            "ingest.source",
            f"none of its {len(items)} image files could be read ({done.unreadable[0].reason})",
            "Check the files with an image viewer",
        )
    labels = {name: label for label, name in enumerate(sorted({i.class_name for i in items}))}
    manifest = pd.DataFrame(
        {
            "image_id": [image_id(image) for image in done.pixels],
            "label": np.array([labels[item.class_name] for item in kept], dtype=np.int64),
            "class_name": [item.class_name for item in kept],
            "origin": "real",
            "source": [item.source for item in kept],
        }
    )
    manifest["group"] = [
        item.group or one for item, one in zip(kept, manifest["image_id"], strict=True)
    ]
    manifest["original_width"] = np.array([one.width for one in done.originals], dtype=np.int64)
    manifest["original_height"] = np.array([one.height for one in done.originals], dtype=np.int64)
    return ImageSet(cast(Images, Unread.of(done.pixels)), manifest), done


def _unreadable(item: Item, error: Exception) -> Rejected:
    return Rejected(item.source, item.class_name, f"unreadable: {_told(error)}", _VIEWER)


def _told(error: Exception) -> str:
    """What the decoder said, without the absolute path that it names in some messages."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    if isinstance(error, FileNotFoundError):
        return "a link to nothing"
    text = str(error)
    return type(error).__name__ if not text or "/" in text else text

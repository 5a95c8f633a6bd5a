"""Decode what a source lists: the pixels of what can be read, and what cannot with the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images, ImageSet, image_id
from tasks.contracts.params.ingest import IngestParams
from tasks.data.decoding import DEEP, ImageFile, is_grey, scaled, to_pixels, white_of
from tasks.data.items import Item, Rejected

_VIEWER = "Check the file with an image viewer; mend or remove it"


@dataclass(frozen=True)
class Decoded:
    """What was read of some items.

    Attributes:
        pixels: uint8 ``[H, W, C]`` of each image that could be read.
        items: theirs.
        originals: what each was before it was fitted into its square.
        unreadable: the others.
        white: the level that means white in grey images of more than 8 bits, None without one.
    """

    pixels: list[Images] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    originals: list[Original] = field(default_factory=list)
    unreadable: list[Rejected] = field(default_factory=list)
    white: int | None = None

    @property
    def given(self) -> list[str | None]:
        """The split that the source gives each image."""
        return [item.split for item in self.items]

    @property
    def digests(self) -> list[bytes]:
        """Of each image before it was fitted."""
        return [one.digest for one in self.originals]

    @property
    def with_more_frames(self) -> int:
        """How many files have more pages or frames than the one that is used."""
        return sum(one.frames > 1 for one in self.originals)


@dataclass(frozen=True)
class Original:
    """An image before it was fitted: its size in pixels, a digest of them, its file's frames."""

    width: int
    height: int
    digest: bytes
    frames: int


def read(
    items: Sequence[Item],
    params: IngestParams,
    watch: Callable[[float, str], None],
    white: int | None = None,
) -> Decoded:
    """Read what can be read, in the order of the items.

    Grey images of more than 8 bits share one scale: the data set's, so that two of them keep
    their relation.

    Args:
        items: what to read.
        params: size, channels, fit and frames.
        watch: told the share that is done.
        white: the level that means white in deep images; None takes it from the largest level.
    """
    done = Decoded()
    deep: dict[int, int] = {}  # place in the lists -> largest level
    items = list(_frames(items, done)) if params.frames == "all" else items
    for number, item in enumerate(items, start=1):
        image = _opened(item, done)
        if image is not None:
            largest = int(np.asarray(image).max(initial=0)) if image.mode == DEEP else 0
            if image.mode == DEEP:
                deep[len(done.items)] = largest
            done.pixels.append(_fitted(image, params, white or white_of(largest)))
            done.items.append(item)
            digest = hashlib.sha256(image.mode.encode() + image.tobytes()).digest()
            frames = int(image.info.get("frames", 1)) if params.frames == "first" else 1
            done.originals.append(Original(*image.size, digest, frames))
        watch(number / len(items), f"{number}/{len(items)} images")
    if not deep:
        return done
    common = white or white_of(max(deep.values()))
    for place, largest in deep.items():
        if white is None and white_of(largest) != common:  # was scaled by its own largest level
            again = done.items[place].open()
            done.pixels[place] = _fitted(again, params, common)
    return replace(done, white=common)


def _frames(items: Sequence[Item], done: Decoded) -> Iterator[Item]:
    """Yield an item for each page or frame; those of one file are one group."""
    for item in items:
        file = item.open
        if not isinstance(file, ImageFile):  # made by a program, not read
            yield item
            continue
        try:
            frames = file.frames()
        except Exception as error:  # as in `_opened`
            done.unreadable.append(_unreadable(item, error))
            continue
        if frames == 1:
            yield item
            continue
        group = item.group or item.source
        for frame in range(frames):
            opened = replace(file, frame=frame)
            yield replace(item, source=f"{item.source}#{frame}", open=opened, group=group)


def _opened(item: Item, done: Decoded) -> Image.Image | None:
    try:
        return item.open()
    except Exception as error:  # a decoder raises whatever its parser runs into, see `open_image`
        done.unreadable.append(_unreadable(item, error))
        return None


def _fitted(image: Image.Image, params: IngestParams, white: int) -> Images:
    image = scaled(image, white) if image.mode == DEEP else image
    one_channel = params.channels == 1 or (params.channels == "auto" and is_grey(image))
    return to_pixels(
        image, size=params.image_size, channels=1 if one_channel else 3, fit=params.fit
    )


def decode(
    items: Sequence[Item], params: IngestParams, watch: Callable[[float, str], None]
) -> tuple[ImageSet, Decoded]:
    """Decode every labelled item: the images with their manifest, and what else is known of them.

    Beside the columns of every manifest stand ``original_width`` and ``original_height`` in
    pixels.

    Raises:
        UserError: nothing could be read.
    """
    done = read(items, params, watch)
    pixels, kept = done.pixels, done.items
    if not kept:
        raise UserError(
            "ingest.source",
            f"none of its {len(items)} image files could be read ({done.unreadable[0].reason})",
            "Check the files with an image viewer",
        )
    depth = max(image.shape[2] for image in pixels)
    stack = np.empty((len(pixels), *pixels[0].shape[:2], depth), dtype=np.uint8)
    for row in range(len(stack)):
        stack[row] = pixels[row]  # grey becomes three equal channels
        pixels[row] = stack[row]  # and its own memory is given back
    labels = {name: label for label, name in enumerate(sorted({i.class_name for i in items}))}
    manifest = pd.DataFrame(
        {
            "image_id": [image_id(image) for image in stack],
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
    return ImageSet(stack, manifest), done


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

"""Decode what a source lists: the pixels of what can be read, and what cannot with the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images, ImageSet, image_id
from tasks.contracts.params.ingest import IngestParams
from tasks.data.decoding import is_grey, to_pixels
from tasks.data.items import Item, Rejected

_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
_VIEWER = "Check the file with an image viewer; mend or remove it"


def read(
    items: Sequence[Item], params: IngestParams, watch: Callable[[float, str], None]
) -> tuple[list[Images], list[Item], list[Rejected]]:
    """Read what can be read: pixels ``[H, W, C]`` and their items, and the unreadable."""
    pixels: list[Images] = []
    kept: list[Item] = []
    unreadable: list[Rejected] = []
    for number, item in enumerate(items, start=1):
        try:
            image = item.open()
            one_channel = params.channels == 1 or (params.channels == "auto" and is_grey(image))
            channels = 1 if one_channel else 3
            pixels.append(
                to_pixels(image, size=params.image_size, channels=channels, fit=params.fit)
            )
            kept.append(item)
        except (*_UNREADABLE, MemoryError) as error:
            reason = f"unreadable: {_told(error)}"
            unreadable.append(Rejected(item.source, item.class_name, reason, _VIEWER))
        watch(number / len(items), f"{number}/{len(items)} images")
    return pixels, kept, unreadable


def decode(
    items: Sequence[Item], params: IngestParams, watch: Callable[[float, str], None]
) -> tuple[ImageSet, list[str | None], list[Rejected]]:
    """Decode every labelled item: the images, the split of each one's folder, the unreadable.

    Raises:
        UserError: nothing could be read.
    """
    pixels, kept, unreadable = read(items, params, watch)
    if not kept:
        raise UserError(
            "ingest.source",
            f"none of its {len(items)} image files could be read ({unreadable[0].reason})",
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
    groups = pd.Series([item.group for item in kept], dtype=object)
    manifest["group"] = manifest["image_id"].where(groups.isna(), groups)
    return ImageSet(stack, manifest), [item.split for item in kept], unreadable


def _told(error: BaseException) -> str:
    """What Pillow said, without the absolute path that it names in some messages."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    return type(error).__name__ if "/" in str(error) else str(error)

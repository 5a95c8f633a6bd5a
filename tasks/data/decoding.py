"""One image file to uint8 pixels of the wanted size and channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tasks.contracts.image_set import Images

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


def open_image(path: Path) -> Image.Image:
    """Decode a file wholly, upright by its EXIF orientation, as mode ``L`` or ``RGB``.

    Transparent parts are laid on white. 16-bit grey is scaled to 8 bits.

    Raises:
        OSError, ValueError, SyntaxError, Image.DecompressionBombError: the file is no readable
            image (as Pillow raises), or has more pixels than Pillow takes for harmless.
    """
    with Image.open(path) as opened:
        opened.load()
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I;16") or image.mode == "I":
        pixels = np.asarray(image).astype(np.float64)
        top = 65535.0 if pixels.max(initial=0) > 255 else 255.0
        return Image.fromarray((pixels * 255.0 / top).clip(0, 255).round().astype(np.uint8))
    if image.mode == "F":  # Pillow would cut it off at 0 and 255, black where 1 means white
        raise ValueError("floating-point pixels, whose range is unknown")
    if image.mode in ("1", "L"):
        return image.convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def is_grey(image: Image.Image) -> bool:
    """Tell whether an image has no colour: mode ``L``, or three equal channels.

    JPEG keeps grey pictures as three channels that may differ by rounding, so 2 levels count
    as equal.
    """
    if image.mode == "L":
        return True
    pixels = np.asarray(image, dtype=np.int16)
    return bool((pixels.max(axis=2) - pixels.min(axis=2)).max(initial=0) <= 2)


def _background(image: Image.Image) -> int | tuple[int, ...]:
    """The median colour of the border, which padding continues."""
    pixels = np.asarray(image)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    median = np.median(edge, axis=0).round().astype(int)
    return int(median) if median.ndim == 0 else tuple(int(value) for value in median)


def _pad(image: Image.Image, size: int) -> Image.Image:
    resample = Image.Resampling.LANCZOS
    return ImageOps.pad(image, (size, size), method=resample, color=_background(image))


def _crop(image: Image.Image, size: int) -> Image.Image:
    return ImageOps.fit(image, (size, size), method=Image.Resampling.LANCZOS)


def _stretch(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, size), Image.Resampling.LANCZOS)


FITS = {"pad": _pad, "crop": _crop, "stretch": _stretch}


def to_pixels(image: Image.Image, *, size: int, channels: int, fit: str) -> Images:
    """Fit an image into a square: uint8 ``[size, size, channels]``.

    ``pad`` keeps all of it on the border's median colour, ``crop`` fills the square and cuts
    the rest, ``stretch`` ignores its proportions.
    """
    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        image = FITS[fit](image, size)
    return np.asarray(image, dtype=np.uint8).reshape(size, size, channels)

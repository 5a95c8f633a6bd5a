"""One image file to uint8 pixels of the wanted size and channels."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tasks.contracts.image_set import Images
from tasks.data.items import Place

SUFFIXES = frozenset(
    {
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".gif", ".bmp"),
        *(".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".jpf"),
        *(".jpc", ".j2c", ".tga", ".pcx", ".sgi", ".qoi", ".psd", ".dds"),
    }
)
"""Of what Pillow decodes by itself and a person keeps pictures in."""

UNDECODABLE = frozenset(
    {
        *(".heic", ".heif", ".jxl", ".svg", ".eps", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw"),
        *(".orf", ".rw2", ".dcm", ".nii", ".exr"),
    }
)
"""Pictures too, which need another program."""

DEEP = "I"
"""Mode of grey images with more than 8 bits: int32, not scaled yet."""

_ORIENTATION = 0x0112  # tag of EXIF
_FEW = 8  # every so many rows and columns are looked at first
_ENOUGH = 2  # times the wanted size that a JPEG which is decoded smaller has at least
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = frozenset(_UPRIGHT[orientation] for orientation in (5, 6, 7, 8))


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file that holds an image, or several. Calling it decodes one."""

    place: Place
    frame: int = 0

    def __call__(self, size: int | None = None, fit: str = "pad") -> Image.Image:
        """Decode as `open_image`."""
        return open_image(self.place, self.frame, size, fit)

    def frames(self) -> int:
        """Return how many pages or frames there are; raises as Pillow does."""
        with Image.open(_readable(self.place)) as opened:
            return _frames(opened)


def open_image(
    place: Place, frame: int = 0, size: int | None = None, fit: str = "pad"
) -> Image.Image:
    """Decode a file, upright by its EXIF orientation, as mode ``L``, ``RGB`` or `DEEP`.

    Transparent parts are laid on white. The image's ``info`` tells how many ``frames`` there are,
    and the ``size`` of the one in the file, upright.

    Args:
        place: where its bytes are.
        frame: which page or frame.
        size: what `to_pixels` will make of it. A JPEG may be decoded at a half, a quarter or an
            eighth, so that it keeps `_ENOUGH` times what is wanted (docs/scale.md tells by how
            much pixels differ). None decodes all of it.
        fit: how it will be fitted.

    Raises:
        Exception: the file is no readable image, or has more pixels than Pillow takes for
            harmless. Decoders raise whatever their parsers run into.
    """
    with Image.open(_readable(place)) as opened:
        frames = _frames(opened)
        opened.seek(frame)
        whole = opened.size
        if size is not None:
            _draft(opened, size, fit)
        opened.load()
        turn = _turn(opened)
        image = _on_white(opened if turn is None else opened.transpose(turn))
    image.info = {"frames": frames, "size": whole[::-1] if turn in _ON_ITS_SIDE else whole}
    return image


def open_for(opens: Callable[[], Image.Image], size: int, fit: str) -> Image.Image:
    """Open what an item holds, as `open_image` with that size and fit where it is a file."""
    return opens(size, fit) if isinstance(opens, ImageFile) else opens()


def original_size(image: Image.Image) -> tuple[int, int]:
    """Return the width and height of an image that was opened, before it was decoded smaller."""
    width, height = image.info.get("size", image.size)
    return width, height


def _draft(opened: Image.Image, size: int, fit: str) -> None:
    """Have the decoder of a JPEG leave out frequencies that the wanted size cannot show.

    Only by what divides both sides: the picture would move by a part of a pixel otherwise.
    """
    side = max(opened.size) if fit == "pad" else min(opened.size)  # that becomes `size`
    for part in (8, 4, 2):
        whole = opened.width % part == opened.height % part == 0
        if whole and side >= part * _ENOUGH * size:
            opened.draft(None, (opened.width // part, opened.height // part))
            return


def _readable(place: Place) -> Path | io.BytesIO:
    return place if isinstance(place, Path) else io.BytesIO(place.read())


def _frames(opened: Image.Image) -> int:
    # a camera's MPO holds the same photo again, smaller
    return 1 if opened.format == "MPO" else int(getattr(opened, "n_frames", 1))


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return what an image's EXIF orientation asks for; one that cannot be read asks nothing.

    Only that tag is read: a photo is not lost because of another tag beside it.
    """
    try:
        return _UPRIGHT.get(int(image.getexif().get(_ORIENTATION, 1)))
    except Exception:  # Pillow's parser raises what the bytes make it: struct.error, TypeError, ...
        return None


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        levels = np.asarray(image).astype(np.int32)
        clear = image.info.get("transparency")  # the one level that is transparent
        if isinstance(clear, int):
            levels[levels == clear] = white_of(int(levels.max(initial=0)))
        return Image.fromarray(levels)
    if image.mode == "F":  # Pillow would cut it off at 0 and 255, black where 1 means white
        raise ValueError("floating-point pixels, whose range is unknown")
    target = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    return image.convert(target)


def white_of(largest: int) -> int:
    """Return the value that means white where `largest` is the largest: 255, 511, 1023, ...

    Scanners keep 10, 12 or 14 bits in files of 16: read as 16 bits, these are nearly black.
    """
    return max(255, (1 << largest.bit_length()) - 1)


def scaled(image: Image.Image, white: int) -> Image.Image:
    """Scale a `DEEP` image so that `white` becomes 255, mode ``L``."""
    levels = np.asarray(image).astype(np.float64) * (255.0 / white)
    return Image.fromarray(levels.clip(0, 255).round().astype(np.uint8))


def is_grey(image: Image.Image) -> bool:
    """Tell whether an image has no colour: mode ``L``, or three equal channels.

    JPEG keeps grey pictures as three channels that may differ by rounding, so 2 levels count
    as equal.
    """
    if image.mode in ("L", DEEP):
        return True
    # nearly always enough to see colour, and the whole need not be unpacked
    few = image.resize([max(1, side // _FEW) for side in image.size], Image.Resampling.NEAREST)
    return _has_no_colour(np.asarray(few)) and _has_no_colour(np.asarray(image))


def _has_no_colour(pixels: Images) -> bool:
    red, green, blue = (pixels[..., channel] for channel in range(3))
    most = np.maximum(np.maximum(red, green), blue)
    least = np.minimum(np.minimum(red, green), blue)
    return bool((most - least).max(initial=0) <= 2)


def _background(image: Image.Image) -> int | tuple[int, ...]:
    """The median colour of the border, which padding continues."""
    width, height = image.size
    boxes = [(0, 0, width, 1), (0, height - 1, width, height)]
    boxes += [(0, 0, 1, height), (width - 1, 0, width, height)]
    sides = [np.asarray(image.crop(box)) for box in boxes]  # all of it need not be unpacked
    edge = np.concatenate([side.reshape(-1, *side.shape[2:]) for side in sides])
    median = np.median(edge, axis=0).round().astype(int)
    return int(median) if median.ndim == 0 else tuple(int(value) for value in median)


def _pad(image: Image.Image, size: int) -> Image.Image:
    resample, ground = Image.Resampling.LANCZOS, _background(image)
    wide, longest = image.width == max(image.size), max(image.size)
    if round(min(image.size) / longest * size) == 0:  # Pillow would leave nothing of it
        image = image.resize((size, 1) if wide else (1, size), resample)
    return ImageOps.pad(image, (size, size), method=resample, color=ground)


def _crop(image: Image.Image, size: int) -> Image.Image:
    return ImageOps.fit(image, (size, size), method=Image.Resampling.LANCZOS)


def _stretch(image: Image.Image, size: int) -> Image.Image:
    return image.resize((size, size), Image.Resampling.LANCZOS)


FITS = {"pad": _pad, "crop": _crop, "stretch": _stretch}


def to_pixels(
    image: Image.Image, *, size: int, channels: int, fit: str, white: int | None = None
) -> Images:
    """Fit an image into a square: uint8 ``[size, size, channels]``.

    ``pad`` keeps all of it on the border's median colour, ``crop`` fills the square and cuts
    the rest, ``stretch`` ignores its proportions. `white` is the level of a `DEEP` image that
    becomes 255, by default the next `white_of` its own largest.
    """
    if image.mode == DEEP:
        image = scaled(image, white or white_of(int(np.asarray(image).max(initial=0))))
    mode = "L" if channels == 1 else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    if image.size != (size, size):
        image = FITS[fit](image, size)
    return np.asarray(image, dtype=np.uint8).reshape(size, size, channels)

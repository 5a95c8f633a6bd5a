"""Rows of images as one picture: the name of each row before it, gaps between the images."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tasks.contracts.image_set import Images
from tasks.data.pictures import to_picture

GROUND = 200  # grey level that neither black nor white images melt into
GAP = 4  # pixels between images and around them
_LEAST_SIDE = 48  # smaller images are enlarged: 8x8 pixels are hard to see
_LEAST_ROW = 16  # pixels, for the letters of a name
_LETTERS = 14  # pixels
_WIDEST = 160  # pixels of a name


@dataclass(frozen=True)
class Board:
    """Images in rows and columns.

    Attributes:
        cells: uint8 ``[rows, columns, H, W, C]``.
        names: of each row; empty for a row that goes on with the class above.
    """

    cells: Images
    names: Sequence[str]

    def picture(self, scale: int | None = None) -> Image.Image:
        """Draw it, each time to the same pixels.

        Args:
            scale: times each pixel is repeated; by default until an image is 48 px wide.
        """
        scale = scale or ceil(_LEAST_SIDE / self.cells.shape[3])
        cells = self.cells.repeat(scale, axis=2).repeat(scale, axis=3)
        below = GAP + max(0, _LEAST_ROW - cells.shape[2])
        cells = np.pad(
            cells, ((0, 0), (0, 0), (0, below), (0, GAP), (0, 0)), constant_values=GROUND
        )
        rows, columns, height, width, channels = cells.shape
        board = cells.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)
        font = ImageFont.load_default(_LETTERS)  # of Pillow itself: the same on every machine
        names = [_fitting(name, font) for name in self.names]
        left = ceil(max(font.getlength(name) for name in names)) + 2 * GAP
        picture = to_picture(np.pad(board, ((GAP, 0), (left, 0), (0, 0)), constant_values=GROUND))
        pen, ink = ImageDraw.Draw(picture), (0,) * channels
        for row, name in enumerate(names):
            middle = GAP + row * height + (height - GAP) // 2
            pen.text((left - GAP, middle), name, fill=ink, font=font, anchor="rm")
        return picture

    def png(self) -> bytes:
        """Return its picture as PNG."""
        stream = BytesIO()
        self.picture().save(stream, "PNG")
        return stream.getvalue()


def _fitting(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Return a name in one line, without accents, which the font lacks; cut where it is too wide.

    A letter of any other script becomes a box.
    """
    parts = unicodedata.normalize("NFKD", name[: _WIDEST + 1])
    letters = [part for part in parts if not unicodedata.combining(part)]
    shown = "".join(letter if letter.isprintable() else "?" for letter in letters)
    if font.getlength(shown) <= _WIDEST:
        return shown
    while shown and font.getlength(f"{shown}…") > _WIDEST:
        shown = shown[:-1]
    return f"{shown}…"

"""Pixels as pictures for people."""

from __future__ import annotations

import base64
from io import BytesIO

from PIL import Image

from tasks.contracts.image_set import Images


def to_picture(pixels: Images) -> Image.Image:
    """Return uint8 ``[H, W, 1 or 3]`` as a grey or colour picture."""
    return Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)


def png_base64(picture: Image.Image) -> str:
    """Return the picture as PNG in base64, as a page holds it."""
    stream = BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode()

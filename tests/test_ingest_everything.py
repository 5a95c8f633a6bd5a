"""A folder with every bad case at once: each file is in a set or in the rejects."""

from __future__ import annotations

import io
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.contracts.image_set import ImageSet
from tests.contracts.tiny import draw_shape
from tests.data.fake_ingest import run

KINDS = ("circle", "square", unicodedata.normalize("NFC", "né"))
USED, LEFT = "used", "left out"


def encoded(pixels: np.ndarray, suffix: str, **options: object) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    image.save(file, Image.registered_extensions()[suffix], **options)
    return file.getvalue()


def odd_exif(value: bytes) -> bytes:
    """EXIF whose orientation is not of the type that it should be."""
    entry = struct.pack("<HHI", 0x0112, 2, len(value)) + value.ljust(4, b"\0")[:4]
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"


def cases(rng: np.random.Generator) -> dict[str, tuple[bytes, str]]:
    """File name -> its bytes, and what is to become of it."""

    def pixels(size: int = 20, channels: int = 3) -> np.ndarray:
        return draw_shape("circle", rng, size, channels).squeeze()

    grey = pixels(channels=1)
    rgba = np.dstack([pixels(), np.full((20, 20), 128, np.uint8)])
    deep = rng.integers(0, 4096, (20, 20)).astype(np.uint16)
    whole = encoded(pixels(), ".png")
    film = io.BytesIO()
    frames = [Image.fromarray(pixels()) for _ in range(3)]
    frames[0].save(film, "TIFF", save_all=True, append_images=frames[1:])
    thin = rng.integers(0, 256, (12, 600, 3)).astype(np.uint8)
    same = encoded(pixels(), ".png")
    made = {
        "a.png": (encoded(pixels(), ".png"), USED),
        "b.JPG": (encoded(pixels(), ".jpg"), USED),
        "c.webp": (encoded(pixels(), ".webp"), USED),
        "d.gif": (encoded(grey, ".gif"), USED),
        "e.avif": (encoded(pixels(), ".avif"), USED),
        "f.jfif": (encoded(pixels(), ".jfif"), USED),
        "g.tif": (encoded(deep, ".tif"), USED),
        "h.png": (encoded(rgba, ".png"), USED),
        "i.png": (encoded(grey > 90, ".png"), USED),
        "j.tiff": (film.getvalue(), USED),
        "k.png": (encoded(thin, ".png"), USED),
        "l.jpg": (encoded(pixels(), ".jpg", exif=odd_exif(b"six")), USED),
        "deep/er/m.bmp": (encoded(pixels(), ".bmp"), USED),
        unicodedata.normalize("NFD", "é n.png"): (encoded(pixels(), ".png"), USED),
        "o.png": (same, USED),
        "p copy.png": (same, LEFT),
        "q.png": (whole[: len(whole) // 2], LEFT),
        "r.png": (b"", LEFT),
        "s.jpg": (b"no image", LEFT),
        "t.tif": (encoded(rng.random((9, 9)).astype(np.float32), ".tif"), LEFT),
        "u.heic": (b"\0\0\0\x18ftypheic", LEFT),
        "v": (whole, LEFT),
        "notes.txt": (b"notes", LEFT),
        "Thumbs.db": (b"x", LEFT),
        ".DS_Store": (b"x", LEFT),
        "._a.png": (b"x", LEFT),
        "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg": (encoded(pixels(), ".jpg"), LEFT),
        ".ipynb_checkpoints/a-checkpoint.png": (whole, LEFT),
    }
    return made


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_everything_at_once_is_accounted_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    source = tmp_path / "source"
    expected: dict[str, str] = {}
    for kind in (*KINDS, "unlabelled"):
        for name, (content, fate) in cases(rng).items():
            path = source / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            expected[unicodedata.normalize("NFC", f"{kind}/{name}")] = fate
    (source / "circle/z gone.png").symlink_to(tmp_path / "nowhere.png")
    expected["circle/z gone.png"] = LEFT
    (source / "loose.png").write_bytes(encoded(rng.integers(0, 9, (9, 9)).astype(np.uint8), ".png"))
    expected["loose.png"] = LEFT
    (source / "__MACOSX/circle").mkdir(parents=True)
    (source / "__MACOSX/circle/._a.png").write_bytes(b"x")
    expected["__MACOSX/circle/._a.png"] = LEFT

    out = run(source, tmp_path / "out", max_reject_share=0.5, image_size=16)
    sets = [ImageSet.load(folder) for folder in sorted((out / "sets").iterdir())]
    used = [one for part in sets for one in part.manifest["source"]]
    rejects = pd.read_csv(out / "rejects/rejects.csv", keep_default_na=False)
    left = rejects["source"].tolist()
    assert len(used) == len(set(used))
    assert sorted(used + left) == sorted(expected)
    assert dict.fromkeys(used, USED) | dict.fromkeys(left, LEFT) == expected
    assert (rejects["reason"] != "").all()
    assert (rejects["mend"] != "").all()
    assert set().union(*(part.class_names for part in sets)) == {*KINDS, ""}

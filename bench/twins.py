"""How many twins ingest finds, and how many honest images it joins: ``python -m bench.twins -h``.

Of each folder of images a random sample is taken, and of some of them twins are made from the
file at its own size: another exposure, JPEG quality or size, or a part of it. What is found among
all of them is printed by kind. Honest images joined count also the true copies in the data set
itself, of which CIFAR-10 has some (Barz & Denzler 2020, arXiv:1902.00423).
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.data.decoding import FITS, open_image, to_pixels
from tasks.data.twins import find_twins

Draws = np.random.Generator


def exposure(image: Image.Image, rng: Draws) -> Image.Image:
    """Gain 0.6 to 1.4 after a gamma of 0.7 to 1.4; what is too bright is clipped."""
    levels = np.asarray(image, dtype=np.float64) / 255
    changed = rng.uniform(0.6, 1.4) * levels ** rng.uniform(0.7, 1.4)
    return Image.fromarray(np.rint(np.clip(changed, 0, 1) * 255).astype(np.uint8))


def jpeg(image: Image.Image, rng: Draws) -> Image.Image:
    """JPEG quality 30 to 80."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=int(rng.integers(30, 81)))
    return Image.open(stream).copy()


def resize(image: Image.Image, rng: Draws) -> Image.Image:
    """Half to four fifths of the width and height."""
    share = rng.uniform(0.5, 0.8)
    size = (round(image.width * share), round(image.height * share))
    return image.resize(size, Image.Resampling.BICUBIC)


def crop(image: Image.Image, rng: Draws) -> Image.Image:
    """A part of 85 to 95 % of the width and height, anywhere."""
    share = rng.uniform(0.85, 0.95)
    width, height = round(image.width * share), round(image.height * share)
    left = int(rng.integers(0, image.width - width + 1))
    top = int(rng.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


KINDS: dict[str, Callable[[Image.Image, Draws], Image.Image]] = {
    "exposure": exposure,
    "jpeg": jpeg,
    "resize": resize,
    "crop": crop,
}


def main() -> None:
    """Print one line a folder and kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=15_000, help="honest images of a folder")
    parser.add_argument("--planted", type=int, default=1_000, help="twins of each kind")
    parser.add_argument("--size", type=int, default=32, help="width and height in pixels")
    parser.add_argument("--threshold", type=float, default=0.984, help="ingest.twins")
    args = parser.parse_args()
    for folder in args.folders:
        rng = np.random.default_rng(0)
        files = sorted(path for path in folder.rglob("*.*") if path.is_file())
        files = [files[row] for row in rng.permutation(len(files))[: args.images]]
        opened = [open_image(path) for path in files]
        channels = 3 if any(image.mode == "RGB" for image in opened) else 1
        opened = [image.convert("RGB" if channels == 3 else "L") for image in opened]

        def pixels(images: list[Image.Image], channels: int = channels) -> np.ndarray:
            fit = next(iter(FITS))
            return np.stack(
                [to_pixels(one, size=args.size, channels=channels, fit=fit) for one in images]
            )

        honest = pixels(opened)
        start = time.perf_counter()
        pairs = find_twins(honest, args.threshold)
        seconds = time.perf_counter() - start
        joined = len(set(pairs["a"]) | set(pairs["b"])) / len(honest)
        print(f"{folder.name}: {len(honest)} honest images, joined {joined:.2%}, {seconds:.1f} s")
        for name, change in KINDS.items():
            planted = pixels([change(image, rng) for image in opened[: args.planted]])
            pairs = find_twins(np.concatenate([honest, planted]), args.threshold)
            found = (pairs["b"] - pairs["a"] == len(honest)).sum() / len(planted)
            print(f"  {name}: found {found:.1%}")


if __name__ == "__main__":
    main()

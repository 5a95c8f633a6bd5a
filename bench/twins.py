"""How many planted twins are found, and how many honest images are joined, on real images.

``python -m bench.twins --images /work/images --number 2000 --size 32``: of each data set so many
images; a quarter of them has a twin, made by another exposure, crop, JPEG quality or size. An
honest image counts as joined if it is paired with any other than its own twin.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tasks.contracts.image_set import Images
from tasks.contracts.params.line import load_params
from tasks.data.decoding import open_image, to_pixels
from tasks.data.twins import find_twins

Draw = np.random.Generator


def exposed(image: Image.Image, rng: Draw) -> Image.Image:
    """Gamma 0.6 to 1.6 and gain 0.7 to 1.3, cut off at white."""
    gamma, gain = rng.uniform(0.6, 1.6), rng.uniform(0.7, 1.3)
    return image.point(lambda level: min(255, int(255 * gain * (level / 255) ** gamma)))


def cropped(image: Image.Image, rng: Draw) -> Image.Image:
    """A part of 88 to 97 % of each side, anywhere, at the old size."""
    share = rng.uniform(0.88, 0.97)
    x, y = (rng.uniform(0, (1 - share) * side) for side in image.size)
    box = (x, y, x + share * image.width, y + share * image.height)
    return image.resize(image.size, Image.Resampling.LANCZOS, box=box)


def compressed(image: Image.Image, rng: Draw) -> Image.Image:
    """JPEG of quality 30 to 75."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(30, 75)))
    return Image.open(file).convert(image.mode)


def resized(image: Image.Image, rng: Draw) -> Image.Image:
    """50 to 80 % of each side."""
    share = rng.uniform(0.5, 0.8)
    size = (int(image.width * share), int(image.height * share))
    return image.resize(size, Image.Resampling.BILINEAR)


KINDS: dict[str, Callable[[Image.Image, Draw], Image.Image]] = {
    "exposure": exposed,
    "crop": cropped,
    "JPEG quality": compressed,
    "resize": resized,
}


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--number", type=int, default=2000, help="images of each data set")
    parser.add_argument("--size", type=int, default=32, help="pixels")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    threshold = load_params().ingest.twins
    print("| data set | " + " | ".join(KINDS) + " | joined by mistake | seconds |")
    print("|---" * (len(KINDS) + 3) + "|")
    for name, channels in (("mnist-png", 1), ("cifar10-jpg", 3)):
        rng = np.random.default_rng(given.seed)
        files = sorted(path for path in (given.images / name).rglob("*") if path.is_file())
        chosen = [open_image(files[row]) for row in rng.permutation(len(files))[: given.number]]

        def pixels(image: Image.Image, depth: int = channels) -> Images:
            return to_pixels(image, size=given.size, channels=depth, fit="pad")

        images, of, kinds = [pixels(image) for image in chosen], {}, {}
        for number, image in enumerate(chosen[: given.number // 4]):
            kind = list(KINDS)[number % len(KINDS)]
            of[len(images)], kinds[len(images)] = number, kind
            images.append(pixels(KINDS[kind](image, rng)))
        began = time.process_time()
        found = find_twins(np.stack(images), threshold, lambda share, text: None)
        seconds = time.process_time() - began
        pairs = set(zip(found["a"], found["b"], strict=True))
        true = {(number, row) for row, number in of.items()}
        hits = [
            np.mean([(number, row) in pairs for row, number in of.items() if kinds[row] == kind])
            for kind in KINDS
        ]
        joined = {row for pair in pairs - true for row in pair}
        cells = " | ".join(f"{hit:.1%}" for hit in hits)
        print(f"| {name} | {cells} | {len(joined) / len(images):.1%} | {seconds:.1f} |")


if __name__ == "__main__":
    main()

"""Pieces of real images pasted over others: what a GAN does for rare classes, without one.

A rare class is shown on the grounds and beside the strokes of the frequent ones, as in "The
Majority Can Help the Minority" (Park et al. 2022, arXiv:2112.00412): the control of a GAN that
carries the variety of frequent classes over to rare ones.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from tasks.classifier.examples import Examples, Rows


def pasted(real: Examples, rows: Rows, classes: int, seed: int) -> Examples:
    """Return the images of `rows`, each with a box of it pasted over another real image.

    The image below is drawn from all images, so mostly of a frequent class. The box is that of
    CutMix (Yun et al. 2019, arXiv:1905.04899, section 3.1): its share of the area uniform in 0 to
    1 before it is cut at the edges, its middle anywhere. Labels stay those of `rows`; what is
    learned are soft ones, by the shares of the area.

    Args:
        real: N real images of hard labels.
        rows: ``[M]``, of the images that boxes are cut from.
        classes: K.
        seed: of all draws.
    """
    rng = np.random.default_rng([seed, 12])
    below = rng.integers(len(real), size=len(rows))
    cut_from, made = real.take(rows), real.pixels(below)
    count, height, width, _ = made.shape
    inside = _boxes(count, height, width, rng)
    made[inside] = real.pixels(rows)[inside]
    share = inside.mean(axis=(1, 2), dtype=np.float64)[:, None]
    whole = np.eye(classes)
    soft = share * whole[cut_from.labels] + (1.0 - share) * whole[real.labels[below]]
    identity = hashlib.sha256(f"pasted {cut_from.identity} {seed}".encode()).hexdigest()
    places = np.arange(count)
    return Examples((made,), places, cut_from.labels, identity, soft.astype(np.float32))


def _boxes(count: int, height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Draw boxes: ``[count, H, W]``, true inside."""
    sides = np.sqrt(rng.random(count)) / 2
    insides = []
    for size in (height, width):
        middle = rng.integers(size, size=count)
        half = (size * sides).astype(np.int64)
        place = np.arange(size)
        insides.append((place >= (middle - half)[:, None]) & (place < (middle + half)[:, None]))
    return insides[0][:, :, None] & insides[1][:, None, :]

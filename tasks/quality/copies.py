"""Is a synthetic image a copy of a training image: to the byte, in pixels, or to the eye?"""

from __future__ import annotations

from dataclasses import dataclass

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.metrics import pairwise_distances_argmin_min

from tasks.contracts.image_set import Images, ImageSet
from tasks.quality.memorisation import Distances, copy_threshold, nearest

_BITS = 64


@dataclass(frozen=True)
class Copies:
    """What may be copied of M pool images.

    Attributes:
        columns: ``[M]`` each: nearest_distance (grey levels) and nearest_real (its image_id),
            hash_distance (bits of 64), is_copy (the same bytes, or nearer in pixels than
            `copy_threshold`), is_duplicate (nearer by hash than `hash_threshold`).
        copy_threshold: in grey levels.
        hash_threshold: in bits.
    """

    columns: dict[str, npt.NDArray[np.generic]]
    copy_threshold: float
    hash_threshold: float


def find_copies(pool: ImageSet, held_out: ImageSet, shown: ImageSet, quantile: float) -> Copies:
    """Look for copies of what a GAN was shown, nearer than chance explains.

    Args:
        pool: M synthetic images.
        held_out: real images that no GAN was shown, which are no copies.
        shown: all real images that a GAN was shown.
        quantile: 0..1 of the distances of held-out images, below which an image is a copy.
    """
    near = nearest(pool.images, shown.images)
    limit = copy_threshold(nearest(held_out.images, shown.images).distance, quantile)
    bits = hash_distance(pool.images, shown.images)
    least = copy_threshold(hash_distance(held_out.images, shown.images), quantile)
    ids = shown.manifest["image_id"]
    exact = pool.manifest["image_id"].isin(ids).to_numpy()
    columns = {
        "nearest_distance": near.distance,
        "nearest_real": ids.to_numpy()[near.row],
        "hash_distance": bits,
        "is_copy": exact | (near.distance < limit),
        "is_duplicate": bits < least,
    }
    return Copies(columns, limit, least)


def hash_distance(images: Images, train: Images) -> Distances:
    """Bits of 64 by which each image's perceptual hash differs from the nearest training image's.

    `imagehash.phash` (Zauner 2010): the grey picture at 32 x 32, its 8 x 8 lowest frequencies, a
    bit each for above or below their median. Smaller pictures are scaled up to that, so all of
    an 8 px picture is in its hash. It sees through brightness, contrast, slight blur and noise,
    which hide a copy from a distance in pixels. It sees no colour, and no copy that was mirrored,
    turned or shifted by more than a pixel or so. Of images of one class with one layout, such as
    digits, honest ones too are often few bits apart, so how few are too few is settled on
    real/val (`copy_threshold` of `tasks.quality.memorisation`).

    Args:
        images: uint8 ``[N, H, W, C]``.
        train: uint8 ``[M, H, W, C]``, all of them: no sample stands for the rest.

    Returns:
        ``[N]``, whole numbers in 0..64.
    """
    ours, theirs = _hashes(images), _hashes(train)
    if not len(ours):
        return np.zeros(0)
    _, share = pairwise_distances_argmin_min(ours, theirs, metric="hamming")
    result: Distances = np.rint(share * _BITS)
    return result


def _hashes(images: Images) -> npt.NDArray[np.bool_]:
    """Perceptual hashes ``[N, 64]``."""
    rows = [
        imagehash.phash(Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image))
        for image in np.asarray(images)
    ]
    return np.array([row.hash.ravel() for row in rows], dtype=np.bool_).reshape(-1, _BITS)

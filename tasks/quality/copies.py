"""Is a synthetic image a copy of a training image: to the byte, in pixels, or to the eye?"""

from __future__ import annotations

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from tasks.contracts.image_set import Images, ImageSet
from tasks.quality.memorisation import copy_thresholds, nearest_training_image
from tasks.quality.neighbours import fewest_bits, some


def find_copies(
    pool: ImageSet, held_out: ImageSet, shown: ImageSet, quantile: float, classes: int
) -> dict[str, npt.NDArray[np.generic]]:
    """Look for copies of what a GAN was shown, nearer than chance explains in their class.

    Args:
        pool: M synthetic images.
        held_out: real images that no GAN was shown, which are no copies; 5,000 of them at most
            are looked at, chosen at random.
        shown: all real images that a GAN was shown.
        quantile: 0..1 of the distances of held-out images, below which an image is a copy.
        classes: K.

    Returns:
        columns ``[M]``: nearest_distance (grey levels) and nearest_real (its image_id),
        hash_distance (bits of 64), the two distances' thresholds (`copy_thresholds`), is_copy
        (the same bytes, or nearer in pixels than its threshold) and is_duplicate (nearer by hash).
    """
    held_out = held_out.take(some(len(held_out)))
    distance, row = nearest_training_image(pool.images, shown.images)
    ids = shown.manifest["image_id"]
    of_shown = hashes(shown.images)
    found = {
        "nearest_distance": distance,
        "hash_distance": fewest_bits(hashes(pool.images), of_shown),
    }
    of_held_out = {
        "nearest_distance": nearest_training_image(held_out.images, shown.images)[0],
        "hash_distance": fewest_bits(hashes(held_out.images), of_shown),
    }
    limits = {
        name: copy_thresholds(distance, held_out.labels, classes, quantile)[pool.labels]
        for name, distance in of_held_out.items()
    }
    exact = pool.manifest["image_id"].isin(ids).to_numpy()
    return {
        **found,
        **{f"{name}_threshold": limit for name, limit in limits.items()},
        "nearest_real": ids.to_numpy()[row],
        "is_copy": exact | (found["nearest_distance"] < limits["nearest_distance"]),
        "is_duplicate": found["hash_distance"] < limits["hash_distance"],
    }


def hashes(images: Images) -> npt.NDArray[np.uint64]:
    """Return the perceptual hash of each image, 64 bits in a number, ``[N]``.

    `imagehash.phash` (Zauner 2010): the grey picture at 32 x 32, its 8 x 8 lowest frequencies, a
    bit each for above or below their median. Smaller pictures are scaled up to that, so all of
    an 8 px picture is in its hash. It sees through brightness, contrast, slight blur and noise,
    which hide a copy from a distance in pixels. It sees no colour, and no copy that was mirrored,
    turned or shifted by more than a pixel or so. Of images of one class with one layout, such as
    digits, honest ones too are often few bits apart, so how few are too few is settled on
    real/val (`copy_thresholds` of `tasks.quality.memorisation`).
    """
    bits = np.empty((len(images), 8), dtype=np.uint8)
    for row, image in enumerate(images):
        bits[row] = np.packbits(imagehash.phash(Image.fromarray(image.squeeze())).hash)
    return bits.view(np.uint64)[:, 0]

"""How near an image lies to the training images in pixels, and how near is too near."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tasks.contracts.image_set import Images, Labels
from tasks.quality.neighbours import Rows, Scores, nearest, rows_of_labels

_CELLS = 16  # pixels a side that images are averaged down to before they are compared
_BLOCK = 2**25  # bytes of images held as numbers of 32 bits at once
_FEW = 5  # real images of a class below which its quantile is taken over all classes


def nearest_training_image(images: Images, train: Images) -> tuple[Scores, Rows]:
    """Find the nearest of all training images, by root mean square difference in grey levels.

    uint8 ``[N, H, W, C]`` against ``[M, H, W, C]``; sizes above 16 px are averaged down to
    16x16 first, so that noise does not hide a copy. Either may be memory-mapped: both are read
    in blocks. Time is in proportion to ``N * M``, since no sample of the training images can
    stand for one that was copied.

    Returns:
        the distances ``[N]`` and the rows of the training images ``[N]``.
    """
    step = max(1, _BLOCK // (4 * _CELLS**2 * images.shape[3]))
    distance, row = np.full(len(images), np.inf), np.zeros(len(images), dtype=np.int64)
    for first in range(0, len(train), step):
        theirs = _flat(train[first : first + step])
        for start in range(0, len(images), step):
            part = slice(start, start + step)
            ours = _flat(images[part])
            found = nearest(ours, theirs)
            away = np.sqrt(np.square(ours - theirs[found].astype(np.float64)).mean(axis=1))
            closer = away < distance[part]
            row[part][closer], distance[part][closer] = found[closer] + first, away[closer]
    return distance, row


def class_quantiles(scores: Scores, labels: Labels, classes: int, quantile: float) -> Scores:
    """Return for each class the quantile of its real images' scores, ``[K]``.

    One threshold for all classes would empty the hard ones. A class with fewer than 5 scores
    borrows the quantile of all.
    """
    result = np.full(classes, np.quantile(scores, quantile))
    for label, rows in rows_of_labels(labels).items():
        if len(rows) >= _FEW:
            result[label] = np.quantile(scores[rows], quantile)
    return result


def copy_thresholds(held_out: Scores, labels: Labels, classes: int, quantile: float) -> Scores:
    """Return for each class the distance ``[K]`` below which an image is a copy.

    Held-out real images are no copies: what comes nearer to a training image than nearly all of
    them is nearer than chance explains. A few dozen images of a class do not tell its 1 %
    quantile (its smallest distance would stand for it, and 4 % of honest digits fall below), and
    the quantile of all classes is wrong for each (0.3 % to 5.3 % of honest digits). So the
    quantile is that of all classes, of distances over the lower quartile of their class, and a
    class has it times its own lower quartile. One with fewer than 5 images has the quartile of
    all.

    Args:
        held_out: distances ``[N]`` of held-out real images to their nearest training image.
        labels: theirs, ``[N]`` in 0..K-1.
        classes: K.
        quantile: 0..1.
    """
    scale = class_quantiles(held_out, labels, classes, 0.25)
    known = scale[labels] > 0
    if not known.any():  # held-out images that are copies themselves
        return np.zeros(classes)
    return scale * np.quantile(held_out[known] / scale[labels][known], quantile)


def _flat(images: Images) -> npt.NDArray[np.float32]:
    n, height, width, channels = images.shape
    cells = min(_CELLS, height)
    blocks = np.asarray(images, dtype=np.float32).reshape(
        n, cells, height // cells, cells, width // cells, channels
    )
    flat: npt.NDArray[np.float32] = blocks.mean(axis=(2, 4)).reshape(n, -1)
    return flat

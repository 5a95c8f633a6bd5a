"""Numbers about every image of a set, for the gates: content hash, value range, sharpness, size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.contracts.image_set import Images, ImageSet, image_id

_CHUNK_BYTES = 2 * 2**20  # its sums take eight times as much


def pixel_stats(images: Images) -> pd.DataFrame:
    """Measure every image; memory-mapped images are read in chunks.

    Args:
        images: uint8 ``[N, H, W, C]``, grey levels 0 to 255.

    Returns:
        N rows with ``pixel_id`` (sha256 of the pixels, as `image_id`), ``pixel_min`` and
        ``pixel_max`` (int64), ``brightness`` (float64, the mean grey level), ``pixel_std``,
        ``sharpness`` (float64, grey levels, mean difference of neighbours), and
        ``height``, ``width``, ``channels`` (int64). ``pixel_std`` is the largest standard
        deviation of a channel over the image's positions: an image of one flat colour has 0.
    """
    count, height, width, channels = images.shape
    rows_a_chunk = max(1, _CHUNK_BYTES // max(1, height * width * channels))
    chunks = [
        _measure(np.asarray(images[start : start + rows_a_chunk]))
        for start in range(0, max(count, 1), rows_a_chunk)
    ]
    stats = pd.concat(chunks, ignore_index=True)
    return stats.assign(height=height, width=width, channels=channels)


def describe(image_set: ImageSet) -> pd.DataFrame:
    """Return the manifest beside `pixel_stats`, with ``row`` (0 to N-1, the image's number)."""
    manifest = image_set.manifest.reset_index(drop=True)
    frame = pd.concat([manifest, pixel_stats(image_set.images)], axis=1)
    return frame.assign(row=np.arange(len(frame), dtype=np.int64))


def _measure(images: Images) -> pd.DataFrame:
    count, height, width, channels = images.shape
    pixels = images.reshape(count, height * width, channels)
    area = height * width
    # Whole numbers up to the division: the same bits on every machine.
    total = pixels.sum(axis=1, dtype=np.int64)
    squares = np.einsum("npc,npc->nc", pixels, pixels, dtype=np.int64, casting="unsafe")
    variance: npt.NDArray[np.float64] = (area * squares - total**2) / area**2
    steps, gaps = np.zeros(count, dtype=np.int64), channels * (2 * area - height - width)
    for axis in (1, 2):
        step = np.abs(np.diff(images.astype(np.int16), axis=axis))
        steps += step.sum(axis=(1, 2, 3), dtype=np.int64)
    return pd.DataFrame(
        {
            "pixel_id": pd.Series([image_id(image) for image in images], dtype="str"),
            "pixel_min": pixels.min(axis=(1, 2)).astype(np.int64),
            "pixel_max": pixels.max(axis=(1, 2)).astype(np.int64),
            "brightness": total.sum(axis=1) / (area * channels),
            "pixel_std": np.sqrt(variance).max(axis=1),
            "sharpness": steps / max(1, gaps),
        }
    )

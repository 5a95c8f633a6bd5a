"""Splits by content hash, and the cuts that make a training split small or unbalanced."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import numpy.typing as npt

from tasks.contracts.image_set import Labels


def hash_uniform(image_id: str, seed: int, purpose: str) -> float:
    """Return a number in [0, 1) that depends on these three alone."""
    digest = hashlib.sha256(f"{purpose}:{seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign_split(image_id: str, *, val_share: float, test_share: float, seed: int) -> str:
    """Return ``train``, ``val`` or ``test`` for an image, whatever other images there are."""
    place = hash_uniform(image_id, seed, "split")
    if place < test_share:
        return "test"
    return "val" if place < test_share + val_share else "train"


def class_quotas(counts: Labels, per_class: int | None, imbalance: float) -> Labels:
    """Return how many images of each class to keep, ``[K]``.

    The largest class keeps `per_class` (None: the largest count there is) and the last the
    `imbalance`-th part of it, with a geometric long tail between (Cui et al. 2019,
    arXiv:1901.05555, section 5.1). At least 1, and no more than there are.
    """
    head = int(counts.max(initial=0)) if per_class is None else per_class
    falls = np.linspace(0.0, 1.0, max(len(counts), 2))[: len(counts)]
    quotas = np.maximum(np.rint(head * imbalance**-falls), 1).astype(np.int64)
    return np.minimum(quotas, counts)


def label_quotas(counts: Labels, fraction: float) -> Labels:
    """Return how many training images of each class keep their label, ``[K]``.

    The fraction of each class, rounded up; at least 2, and no more than there are.
    """
    # rounded before: 0.1 * 30 is a little more than 3 in floating point
    wanted = [max(2, math.ceil(round(fraction * int(count), 9))) for count in counts]
    return np.minimum(np.array(wanted, dtype=np.int64), counts)


def keep_rows(
    image_ids: npt.NDArray[np.object_], labels: Labels, quotas: Labels, seed: int
) -> npt.NDArray[np.bool_]:
    """Return which rows to keep, ``[N]``: in each class those of the smallest hash.

    A larger quota keeps the same images and more; an image added elsewhere moves nothing.
    """
    drawn = np.array([hash_uniform(str(one), seed, "cut") for one in image_ids])
    order = np.lexsort((drawn, labels))  # by class, then by hash; equal ones as they stand
    first = np.searchsorted(labels[order], np.arange(len(quotas)))
    keep = np.zeros(len(labels), dtype=np.bool_)
    keep[order] = np.arange(len(labels)) - first[labels[order]] < quotas[labels[order]]
    return keep

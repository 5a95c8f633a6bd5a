"""Splits by content hash, and the cuts that make a training split small or unbalanced."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tasks.contracts.image_set import Labels

Names = npt.NDArray[np.object_]


def hash_uniform(name: str, seed: int, purpose: str) -> float:
    """Return a number in [0, 1) that depends on these three alone."""
    digest = hashlib.sha256(f"{purpose}:{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign_splits(
    groups: Sequence[str] | Names, labels: Labels, *, val_share: float, test_share: float, seed: int
) -> Names:
    """Return ``train``, ``val`` or ``test`` for each image, ``[N]``.

    A group goes where the hash of its name falls, whatever other groups there are: below
    `test_share` into test, below the sum of both into val. Only where a class would get nothing
    of a split does the group next to the boundary cross it. A group counts for the class that
    most of its images have. So shares are those of a draw by chance, within three standard
    deviations of it in 997 of 1,000 classes, and no image moves when others come.

    Args:
        groups: name of each image's group, ``[N]``.
        labels: int64 ``[N]``.
        val_share: of a class's images; 0 gives none.
        test_share: likewise.
        seed: moves the hash.
    """
    names, rows = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    classes = int(labels.max(initial=-1)) + 1
    counts = np.zeros((len(names), classes), dtype=np.int64)
    np.add.at(counts, (rows, labels), 1)
    home = counts.argmax(axis=1)
    drawn = np.array([hash_uniform(str(name), seed, "split") for name in names])
    places = np.full(len(names), "train", dtype=object)
    for label in range(classes):
        own = np.flatnonzero(home == label)
        own = own[np.argsort(drawn[own], kind="stable")]
        below = int((drawn[own] < test_share).sum())
        spared = 2 if val_share else 1  # a group for train, and one for val
        first = min(max(below, 1), max(len(own) - spared, 0)) if test_share else 0
        places[own[:first]] = "test"
        rest = own[first:]
        below = int((drawn[rest] < test_share + val_share).sum())
        second = min(max(below, 1), max(len(rest) - 1, 0)) if val_share else 0
        places[rest[:second]] = "val"
    return places[rows]


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


def keep_rows(image_ids: Names, labels: Labels, quotas: Labels, seed: int) -> npt.NDArray[np.bool_]:
    """Return which rows to keep, ``[N]``: in each class those of the smallest hash.

    A larger quota keeps the same images and more; an image added elsewhere moves nothing.
    """
    drawn = np.array([hash_uniform(str(one), seed, "cut") for one in image_ids])
    order = np.lexsort((drawn, labels))  # by class, then by hash; equal ones as they stand
    first = np.searchsorted(labels[order], np.arange(len(quotas)))
    keep = np.zeros(len(labels), dtype=np.bool_)
    keep[order] = np.arange(len(labels)) - first[labels[order]] < quotas[labels[order]]
    return keep

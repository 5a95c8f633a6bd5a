"""Splits by content hash, and the cuts that make a training split small or unbalanced."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tasks.contracts.image_set import Labels


def hash_uniform(image_id: str, seed: int, purpose: str) -> float:
    """Return a number in [0, 1) that depends on these three alone."""
    digest = hashlib.sha256(f"{purpose}:{seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def share_slack(groups: int) -> float:
    """Return by how many groups a split of a class may differ from its share of them.

    A hash alone leaves a class of 10 without any validation image in one of five draws. From 40
    groups on, the slack is so wide (16 of 40) that the hash alone decides.
    """
    return max(1.0, (groups / 10) ** 2)


def assign_splits(
    groups: Sequence[str], *, val_share: float, test_share: float, seed: int
) -> list[str]:
    """Return ``train``, ``val`` or ``test`` for each of the G groups of one class.

    Each group has a place in [0, 1) by its hash: those below `test_share` are test, the next
    ones val. Where that leaves test or train further from its share than `share_slack`, or a
    split empty, the border between two splits moves past the nearest groups. So val is within
    twice the slack, no split with a share is empty if G is at least their number, and a group that
    comes or goes moves at most two others: none unless a border had moved.
    """
    total, slack = len(groups), share_slack(len(groups))
    places = np.array([hash_uniform(one, seed, "split") for one in groups])

    def border(share: float, lowest: int, highest: int) -> int:
        """Return how many groups come before a border: by hash, near the share, within limits."""
        near = max(int((places < share).sum()), math.ceil(round(share * total - slack, 9)))
        near = min(near, math.floor(round(share * total + slack, 9)))
        return max(min(near, highest), min(lowest, total))

    has_test, has_val = int(test_share > 0), int(val_share > 0)
    test_end = border(test_share, has_test, total - 1 - has_val)
    val_end = border(test_share + val_share, test_end + has_val, total - 1)
    rank = np.argsort(np.argsort(places, kind="stable"), kind="stable")
    return ["test" if row < test_end else "val" if row < val_end else "train" for row in rank]


def fold_numbers(groups: Sequence[str], folds: int, seed: int) -> list[int]:
    """Return the fold, 1 to k, of each of the G groups of one class, in the order of their hashes.

    Parts differ by at most one group, and a group that comes or goes moves at most k - 1 others.
    """
    places = [hash_uniform(one, seed, "fold") for one in groups]
    rank = np.argsort(np.argsort(places, kind="stable"), kind="stable")
    return [1 + int(row) * folds // len(groups) for row in rank]


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
    groups: npt.NDArray[np.object_],
    image_ids: npt.NDArray[np.object_],
    labels: Labels,
    quotas: Labels,
    seed: int,
) -> npt.NDArray[np.bool_]:
    """Return which rows to keep, ``[N]``: in each class those of the smallest hash.

    The hash is of the group, then of the image, so that at most one group a class is parted. A
    larger quota keeps the same images and more; an image added elsewhere moves nothing.
    """
    drawn = [
        np.array([hash_uniform(str(one), seed, "cut") for one in names])
        for names in (image_ids, groups)
    ]
    order = np.lexsort((*drawn, labels))  # by class, then by hash; equal ones as they stand
    first = np.searchsorted(labels[order], np.arange(len(quotas)))
    keep = np.zeros(len(labels), dtype=np.bool_)
    keep[order] = np.arange(len(labels)) - first[labels[order]] < quotas[labels[order]]
    return keep

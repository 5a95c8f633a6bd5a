"""Distances between rows, some at a time: memory stays bounded however many rows there are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from tasks.contracts.image_set import Labels

Features = npt.NDArray[np.floating]
Scores = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
REFERENCE = 5_000
"""Rows at most that others are held against, or that are held against one another.

Past it, a random choice of as many stands for all, so that time grows with the rows and not with
their square. At most so many rows are measured exactly.
"""
_CELLS = 4_000_000  # distances held at once, 32 MB


def some(count: int, most: int = REFERENCE, seed: int = 0) -> Rows:
    """Return `most` of `count` row numbers, chosen at random, in order; all if they are no more."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng([seed, count, most]).choice(count, most, replace=False))


def rows_of_labels(labels: Labels) -> dict[int, Rows]:
    """Return the row numbers of each label, in order, in one pass; `labels` ``[N]``, N above 0."""
    order = np.argsort(labels, kind="stable")
    values, starts = np.unique(labels[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, starts[1:]), strict=True))


def distances(rows: Features, columns: Features) -> Iterator[tuple[slice, Scores]]:
    """Yield a part of the rows and their Euclidean distances to all columns, in float64."""
    step = max(1, _CELLS // len(columns))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        yield part, cdist(rows[part], columns)


def radii(features: Features, k: int) -> Scores:
    """Return the distance of each row ``[N, D]`` to its k-th nearest other row, ``[N]``.

    Others are looked for among `REFERENCE` rows at most.

    Raises:
        ValueError: no more than k rows.
    """
    if not 1 <= k < len(features):
        raise ValueError(f"{len(features)} rows have no {max(k, 1)} others")
    among = some(len(features))
    itself = np.isin(np.arange(len(features)), among).astype(np.int64)  # at distance 0
    parts = [
        np.take_along_axis(np.partition(near, (k - 1, k), axis=1), k - 1 + itself[part, None], 1)
        for part, near in distances(features, features[among])
    ]
    return np.concatenate(parts)[:, 0]


def nearest(rows: Features | None, columns: Features) -> Rows:
    """Return which of the columns ``[M, D]`` is nearest to each row ``[N, D]``, ``[N]``.

    Without rows: which other column is nearest to each column, ``[M]``. The search goes by dot
    products, whose rounding may decide between columns that are equally near within 1e-7; take
    distances with `apart`.
    """
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(columns)
    found: Rows = search.kneighbors(rows, return_distance=False)[:, 0].astype(np.int64)
    return found


def apart(rows: Features, others: Features) -> Scores:
    """Return the Euclidean distance of each row to the other at its place, ``[N]``; exact at 0."""
    difference = rows.astype(np.float64) - others
    result: Scores = np.sqrt(np.square(difference).sum(axis=1))
    return result


def fewest_bits(rows: npt.NDArray[np.uint64], columns: npt.NDArray[np.uint64]) -> Scores:
    """Return by how many of its 64 bits each row ``[N]`` differs from the nearest column ``[M]``.

    Raises:
        ValueError: there are rows and no columns.
    """
    step = max(1, _CELLS // max(1, len(columns)))
    parts = [
        np.bitwise_count(rows[start : start + step, None] ^ columns).min(axis=1)
        for start in range(0, len(rows), step)
    ]
    return np.concatenate([np.zeros(0), *parts])

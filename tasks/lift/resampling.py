"""Resampling weights for the two things a result hangs on: which runs, and which test images.

The two are crossed (every run judges every image), so both are drawn anew in each resample
and a cell's weight is the product of its run's and its image's: the pigeonhole bootstrap
(Owen 2007, "The pigeonhole bootstrap"). `scipy.stats.bootstrap` resamples one axis of
independent observations; it knows neither crossed factors nor groups, so it is not used.

Units on one level are drawn n-1 of n: that makes the variance of a mean unbiased, where n
draws come out (n-1)/n too small, a sixth for six seeds (Rao & Wu 1988).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tasks.lift.metrics import Floats, Labels

_ROWS = 256  # resamples a block: bounds memory at _ROWS x N floats


@dataclass(frozen=True)
class RunDraws:
    """Resampled runs.

    Attributes:
        weights: of the runs ``[B, S]``, each row summing to 1.
        sources: what makes the runs differ: weights under which one source alone varies
            ``[B, S]``, with its degrees of freedom.
    """

    weights: Floats
    sources: tuple[tuple[Floats, int], ...]


def draw_runs(gan_seeds: tuple[int, ...] | None, runs: int, resamples: int, seed: int) -> RunDraws:
    """Draw the runs of a comparison anew, B times.

    Classifier seeds are nested in GANs, and the runs behind one GAN share its luck: GANs are
    drawn first, then runs within each GAN drawn (Davison & Hinkley 1997, section 3.8). There
    n of n are drawn on both levels, since the second adds about what the first leaves out.
    Runs without a GAN, behind a single one, or each behind its own are drawn on one level; a
    single GAN says nothing about the next.

    Args:
        gan_seeds: the GAN behind each run ``[S]``, None without.
        runs: S, at least 2.
        resamples: B.
        seed: equal arguments give equal draws, so that comparisons stay paired.
    """
    rng = np.random.default_rng([seed, 1])
    count = len(set(gan_seeds or ()))
    if gan_seeds is None or not 2 <= count < runs:
        weights = _to_one(_draw(runs, resamples, rng))
        return RunDraws(weights, ((weights, runs - 1),))
    gan_of = np.unique(np.asarray(gan_seeds), return_inverse=True)[1]
    times = rng.multinomial(count, np.full(count, 1.0 / count), size=resamples)
    nested, within = np.empty((2, resamples, runs))
    for gan in range(count):
        members = np.flatnonzero(gan_of == gan)
        even = np.full(len(members), 1.0 / len(members))
        # k draws of m runs, m at a time, are one draw of k * m
        nested[:, members] = rng.multinomial(times[:, gan] * len(members), even)
        within[:, members] = rng.multinomial(len(members), even, size=resamples)
    between = times[:, gan_of].astype(np.float64)
    return RunDraws(
        _to_one(nested), ((_to_one(between), count - 1), (_to_one(within), runs - count))
    )


def image_units(labels: Labels, groups: Labels) -> tuple[Labels, Labels]:
    """Return (stratum of each group ``[U]``, group of each image ``[N]``).

    Where no group spans two classes (single images above all), groups are drawn within their
    class: the class sizes of a test set are its design, not chance, and no class can vanish
    from a resample. Groups that span classes are drawn from all: one stratum.
    """
    members = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    lowest = np.full(members.max() + 1, np.iinfo(np.int64).max)
    highest = np.full(members.max() + 1, -1)
    np.minimum.at(lowest, members, labels)
    np.maximum.at(highest, members, labels)
    if np.array_equal(lowest, highest):
        return lowest, members
    return np.zeros_like(lowest), members


def image_weights(labels: Labels, groups: Labels, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield weights of the images ``[b, N]`` in blocks, B rows in all.

    Args:
        labels: true labels ``[N]``.
        groups: groups ``[N]``: images of one are drawn together.
        resamples: B.
        seed: of the draws.

    Yields:
        Weights of at least 0; a stratum of single images keeps its sum, its size.
    """
    rng = np.random.default_rng([seed, 2])
    strata, members = image_units(labels, groups)
    columns = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    for start in range(0, resamples, _ROWS):
        rows = min(_ROWS, resamples - start)
        weights = np.empty((rows, len(strata)))
        for column in columns:
            weights[:, column] = _draw(len(column), rows, rng)
        yield weights[:, members]


def _to_one(weights: Floats) -> Floats:
    """Scale each row to the sum 1."""
    totals: Floats = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, totals)


def _draw(units: int, rows: int, rng: np.random.Generator) -> Floats:
    """Draw units-1 of the units with replacement; return weights ``[rows, units]`` of mean 1."""
    draws = max(units - 1, 1)
    picks = rng.integers(0, units, (rows, draws)) + np.arange(rows)[:, None] * units
    counts = np.bincount(picks.ravel(), minlength=rows * units).reshape(rows, units)
    return np.multiply(counts, units / draws, dtype=np.float64)

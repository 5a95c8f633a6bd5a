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
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tasks.lift.metrics import Floats, Labels

_ROWS = 256  # resamples drawn together: another number would be another draw
_CELLS = 2**21  # numbers held at a time, 16 MB of float64
_Counts = npt.NDArray[np.uint8]  # how often a unit is drawn: 1 on average, 255 never


@dataclass(frozen=True)
class RunDraws:
    """Resampled runs.

    Attributes:
        weights: of the runs ``[B, S]``, each row summing to 1.
        units: number of the independent unit behind each run ``[S]``: its GAN, or itself.
    """

    weights: Floats
    units: Labels

    @property
    def df(self) -> int:
        """Degrees of freedom: units less one."""
        return int(self.units.max())


@lru_cache(maxsize=4)  # every comparison of a report meets the same few draws
def draw_runs(gan_seeds: tuple[int, ...] | None, runs: int, resamples: int, seed: int) -> RunDraws:
    """Draw the runs of a comparison anew, B times.

    Classifier seeds are nested in GANs, and the runs behind one GAN share its luck: GANs are
    drawn, and each comes with its runs as they are. Drawing the runs anew within each GAN as
    well would add a part of their noise that the means of the GANs hold already (Davison &
    Hinkley 1997, section 3.8, their first strategy). Runs without a GAN or behind a single one
    are drawn themselves; a single GAN says nothing about the next.

    Args:
        gan_seeds: the GAN behind each run ``[S]``, None without.
        runs: S, at least 2.
        resamples: B.
        seed: equal arguments give equal draws, so that comparisons stay paired.
    """
    rng = np.random.default_rng([seed, 1])
    units = np.arange(runs)
    if gan_seeds is not None and len(set(gan_seeds)) > 1:
        units = np.unique(np.asarray(gan_seeds), return_inverse=True)[1]
    gans = int(units.max()) + 1
    weights = np.multiply(_draw(gans, resamples, rng), _scale(gans))[:, units]
    return RunDraws(weights / weights.sum(axis=1, keepdims=True), units)


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


def image_weights(
    labels: Labels, groups: Labels, resamples: int, seed: int, width: int = 1
) -> Iterator[Floats]:
    """Yield weights of the images ``[b, N]`` in blocks, B rows in all.

    Args:
        labels: true labels ``[N]``.
        groups: groups ``[N]``: images of one are drawn together.
        resamples: B.
        seed: of the draws; how they are cut into blocks does not change them.
        width: numbers that the caller holds for each row; wide rows come in smaller blocks.

    Yields:
        Weights of at least 0; a stratum of single images keeps its sum, its size.
    """
    rng = np.random.default_rng([seed, 2])
    strata, members = image_units(labels, groups)
    columns = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    scale = np.empty(len(strata))
    for column in columns:
        scale[column] = _scale(len(column))
    block = max(1, _CELLS // max(len(labels), width))
    for start in range(0, resamples, _ROWS):
        counts = np.empty((min(_ROWS, resamples - start), len(strata)), np.uint8)
        for column in columns:
            counts[:, column] = _draw(len(column), len(counts), rng)
        for first in range(0, len(counts), block):
            yield (counts[first : first + block] * scale)[:, members]


def _draw(units: int, rows: int, rng: np.random.Generator) -> _Counts:
    """Draw units-1 of the units with replacement; return how often each came ``[rows, units]``."""
    draws = max(units - 1, 1)
    counts = np.empty((rows, units), np.uint8)
    block = max(1, _CELLS // units)
    for first in range(0, rows, block):
        few = counts[first : first + block]
        picks = rng.integers(0, units, (len(few), draws)) + np.arange(len(few))[:, None] * units
        few[:] = np.bincount(picks.ravel(), minlength=few.size).reshape(few.shape)
    return counts


def _scale(units: int) -> float:
    """Return what makes the mean count of a draw 1."""
    return units / max(units - 1, 1)

"""Can a stranger tell which images the GANs were trained on? Membership inference, measured.

An attack gives each suspect image a score, higher for images that it takes for members. Members
are images of real/train, the others those of real/val, which no GAN was trained on. Unlabelled
images that a GAN saw are left aside, on either side.

A class that is frequent in training must not look like a leak, nor one whose images a GAN draws
badly. So scores are taken on the scale of their class, by what an attacker has, and the others are
weighted so that every class is as frequent among them as among members: a score that knows labels
alone has an AUC of exactly 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.contracts.image_set import Images, ImageSet, Labels, Unread, concatenate
from tasks.contracts.privacy import FALSE_POSITIVES, Unit
from tasks.quality.memorisation import nearest_training_image
from tasks.quality.neighbours import Rows, Scores, rows_of_labels, some

FEWEST = 99
"""Others from which on a share of 1 % of them can be told."""
_LEVEL = 0.95
_RESAMPLES = 2000
_CELLS = 2_000_000  # weights of resamples held at once, 16 MB
_SPACED = 1000  # synthetic images of a class that tell its scale
_DIGITS = 6


@dataclass(frozen=True)
class Suspects:
    """Images of which an attacker wants to know whether the GANs were trained on them.

    Attributes:
        images: N, members first; none is read before it is asked for.
        is_member: ``[N]``.
    """

    images: ImageSet
    is_member: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, members: ImageSet, others: ImageSet) -> Self:
        """Return suspects: all of either side, or 5,000 of it chosen at random."""
        sides = [_unread(side, some(len(side))) for side in (members, others)]
        return cls(concatenate(sides), np.repeat([True, False], [len(side) for side in sides]))

    def told_by(self, scores: Scores, seed: int) -> dict[str, Any] | None:
        """Return how well scores ``[N]`` tell members from others.

        The AUC counts ties as half. The true-positive rate at a false-positive rate of 1 %
        (Carlini et al. 2022, arXiv:2112.03570) is that just before the k-th of n
        others, at k / (n + 1), linear between: with it, guessing reaches 1 % whatever n is, where
        the largest rate at 1 % or less would be up to twice that.

        A unit is a ``group`` where images have groups: whoever has one image of a patient may
        have them all, so the score of a unit is the mean of its images', and units are counted.

        Intervals are percentiles (95 %) of 2,000 resamples of units, members and others each for
        themselves, with class weights and threshold anew in each.

        Args:
            scores: higher for members; not finite where the attack says nothing.
            seed: of the resamples.

        Returns:
            auc and tpr (None below `FEWEST` others), each with value, ci_low and ci_high, 0..1;
            how many members and non_members were told apart, and what their unit is. None where
            no class has both.
        """
        units, unit = self._units(scores)
        labels, member = units["label"].to_numpy(), units["member"].to_numpy()
        if member.all() or not member.any():
            return None
        curve = _Curve.of(units["score"].to_numpy(), member, labels)
        found = np.array(curve.figures(np.ones((1, len(units)))))[:, 0]
        groups = units["group"].to_numpy()
        parts = [curve.figures(weights) for weights in _resamples(groups, member, seed)]
        drawn = np.concatenate([np.array(part) for part in parts], axis=1)
        tail = (1 - _LEVEL) / 2
        low, high = np.nanquantile(drawn, [tail, 1 - tail], axis=1)
        auc, tpr = (
            {
                name: round(float(end), _DIGITS)
                for name, end in zip(("value", "ci_low", "ci_high"), ends, strict=True)
            }
            for ends in zip(found, low, high, strict=True)
        )
        others = int((~member).sum())
        return {
            "auc": auc,
            "tpr": tpr if others >= FEWEST else None,
            "members": int(member.sum()),
            "non_members": others,
            "unit": unit,
        }

    def _units(self, scores: Scores) -> tuple[pd.DataFrame, Unit]:
        """Return a row per unit and class that both sides have, and what a unit is."""
        manifest = self.images.manifest
        rows = pd.DataFrame(
            {
                "group": manifest["group"].fillna(manifest["image_id"]).to_numpy(),
                "label": self.images.labels,
                "member": self.is_member,
                "score": scores,
            }
        )[np.isfinite(scores)]
        sides = [set(rows["label"][rows["member"] == side]) for side in (True, False)]
        rows = rows[rows["label"].isin(sides[0] & sides[1])]
        units = rows.groupby(["group", "label", "member"], sort=False, as_index=False).mean()
        return units, "image" if len(units) == len(rows) else "group"


def by_nearest(suspects: ImageSet, pool: ImageSet) -> Scores:
    """Score suspects by how near the nearest synthetic image of their class is, ``[N]``.

    The full black-box attack of GAN-Leaks (Chen et al. 2020, arXiv:1909.03935),
    which needs the images alone, or a generator that makes them: distances as in
    `nearest_training_image`, over the median distance of the class's synthetic images to the
    nearest of others, negative. Not a number where a class has no synthetic image. Time is in
    proportion to the pairs of suspects and synthetic images of one class.
    """
    made = {label: _unread(pool, rows) for label, rows in rows_of_labels(pool.labels).items()}
    scale = {label: _scale(of) for label, of in made.items()}
    known = [size for size in scale.values() if size > 0]
    usual = float(np.median(known)) if known else 1.0
    scores = np.full(len(suspects), np.nan)
    for label, rows in rows_of_labels(suspects.labels).items():
        if label in made:
            mine = suspects.take(rows).images
            distance, _ = nearest_training_image(mine, made[label].images)
            scores[rows] = -distance / (scale[label] or usual)
    return scores


def standardised(logits: Scores, labels: Labels, made: Scores, made_labels: Labels) -> Scores:
    """Return a discriminator's logits on the scale of those of the GAN's own images, by class.

    LOGAN's white-box attack (Hayes et al. 2019, arXiv:1705.07663) takes for members
    what the discriminator finds most real. An attacker who has it has the GAN's images too; their
    mean and spread make classes comparable. All GANs of a run saw the same members, so the mean
    over GANs is the attack: it loses the noise of each, where the strongest of several would be
    strong by chance.

    Args:
        logits: of suspects ``[N]``, higher is more real.
        labels: theirs.
        made: logits of the GAN's own images ``[M]``.
        made_labels: theirs.

    Returns:
        ``[N]``; not a number where a class has no image of the GAN.
    """
    usual = float(made.std()) or 1.0
    scores = np.full(len(logits), np.nan)
    own = rows_of_labels(made_labels)
    for label, rows in rows_of_labels(labels).items():
        if label in own:
            of_class = made[own[label]]
            scores[rows] = (logits[rows] - of_class.mean()) / (of_class.std() or usual)
    return scores


@dataclass(frozen=True)
class _Curve:
    """Scores made ready for many weights at once.

    Attributes:
        order: rows by falling score, ``[N]``.
        starts: where in that order a new score begins, ``[U]``.
        is_member: ``[N]``.
        one_hot: classes, ``[N, K]``.
    """

    order: Rows
    starts: Rows
    is_member: npt.NDArray[np.bool_]
    one_hot: npt.NDArray[np.float64]

    @classmethod
    def of(cls, scores: Scores, is_member: npt.NDArray[np.bool_], labels: Labels) -> _Curve:
        order = np.argsort(-scores, kind="stable")
        falls = np.diff(scores[order]) != 0
        starts = np.flatnonzero(np.concatenate([[True], falls]))
        classes = np.unique(labels)
        return cls(order, starts, is_member, (labels[:, None] == classes).astype(np.float64))

    def figures(self, weights: Scores) -> tuple[Scores, Scores]:
        """Return AUC and true-positive rate ``[B]`` of suspects weighted by ``[B, N]``.

        A class that either side lacks is left out; not a number where that leaves none.
        """
        members, others = weights * self.is_member, weights * ~self.is_member
        of_members, of_others = members @ self.one_hot, others @ self.one_hot
        both = (of_members > 0) & (of_others > 0)
        ratio = np.divide(of_members, of_others, out=np.zeros_like(of_members), where=both)
        counted = both @ self.one_hot.T
        member, other = (
            self._shares(of) for of in (members * counted, others * (ratio @ self.one_hot.T))
        )
        above = np.cumsum(member, axis=1) - member
        auc: Scores = (other * (above + member / 2)).sum(axis=1)
        return auc, self._true_positives(member, other, above, others * counted)

    def _true_positives(
        self, member: Scores, other: Scores, above: Scores, drawn: Scores
    ) -> Scores:
        """Return the true-positive rate ``[B]``, on the line through the points of the others.

        Among r others and the members of one score, all in random order, the k-th other has
        ``k / (r + 1)`` of these members before it: a straight line from the first to the last.
        """
        each = np.add.reduceat(drawn[:, self.order], self.starts, axis=1)  # r
        number = each.sum(axis=1, keepdims=True)
        last = np.cumsum(other, axis=1) * number / (number + 1)
        step = np.divide(other, each, out=np.zeros_like(other), where=each > 0)
        first = last - (other - step) * number / (number + 1)
        at_first, at_last = above + member / (each + 1), above + member * each / (each + 1)
        before = np.maximum.accumulate(np.where(each > 0, at_last, 0.0), axis=1)
        here = (last < FALSE_POSITIVES).sum(axis=1, keepdims=True).clip(max=last.shape[1] - 1)

        def of(values: Scores, places: Rows = here) -> Scores:
            """Return the values at these places; 0 before the first place."""
            picked = np.take_along_axis(values, np.maximum(places, 0), 1)[:, 0]
            return np.where(places[:, 0] < 0, 0.0, picked)

        inside = of(first) <= FALSE_POSITIVES
        low = np.where(inside, of(first), of(last, here - 1))
        high = np.where(inside, of(last), of(first))
        start = np.where(inside, of(at_first), of(before, here - 1))
        end = np.where(inside, of(at_last), of(at_first))
        wide = high - low
        share = np.divide(FALSE_POSITIVES - low, wide, out=np.ones_like(wide), where=wide > 0)
        result: Scores = start + share * (end - start)
        return result

    def _shares(self, weights: Scores) -> Scores:
        """Return the share of all weight that each score has, ``[B, U]``, by falling score."""
        summed = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        total = summed.sum(axis=1, keepdims=True)
        out = np.full_like(summed, np.nan)
        shares: Scores = np.divide(summed, total, out=out, where=total > 0)
        return shares


def _resamples(
    group: npt.NDArray[Any], is_member: npt.NDArray[np.bool_], seed: int
) -> Iterator[Scores]:
    """Yield how often each suspect is drawn, ``[B, N]``, some resamples at a time."""
    rng = np.random.default_rng([seed, 5])
    step = max(1, _CELLS // len(group))
    sides = [
        (rows, *np.unique(group[rows], return_inverse=True))
        for rows in (np.flatnonzero(is_member), np.flatnonzero(~is_member))
    ]
    for start in range(0, _RESAMPLES, step):
        count = min(step, _RESAMPLES - start)
        weights = np.empty((count, len(group)))
        for rows, units, unit in sides:
            drawn = rng.integers(0, len(units), (count, len(units)))
            places = drawn + len(units) * np.arange(count)[:, None]
            times = np.bincount(places.ravel(), minlength=count * len(units))
            weights[:, rows] = times.reshape(count, -1)[:, unit]
        yield weights


def _scale(made: ImageSet) -> float:
    """Return the median distance of half of the images to the other half; 0 of a single one."""
    few = some(len(made), _SPACED)
    if len(few) < 2:
        return 0.0
    distance, _ = nearest_training_image(made.images[few[::2]], made.images[few[1::2]])
    return float(np.median(distance))


def _unread(images: ImageSet, rows: Rows) -> ImageSet:
    chosen = Unread.of(images.images).take(rows)
    return ImageSet(cast(Images, chosen), images.manifest.iloc[rows].reset_index(drop=True))

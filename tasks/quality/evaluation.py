"""Judge a GAN by fresh images of every class against real/val."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.contracts.errors import UserError
from tasks.contracts.evaluation import GanEvaluation, Sample
from tasks.contracts.image_set import Images, ImageSet, Labels
from tasks.quality.fidelity import (
    conditioning_accuracy,
    diversity,
    expected_coverage,
    frechet_distance,
    kernel_distance,
    prdc,
    spacing,
)
from tasks.quality.memorisation import copy_thresholds, nearest_training_image
from tasks.quality.neighbours import Features, Scores, rows_of_labels, some

Describe = Callable[[Images], Features]
"""uint8 ``[N, H, W, C]`` to features ``[N, D]``, or to probabilities ``[N, K]``."""

_MOST = 500  # images of one evaluation, where that leaves each class enough of them
_LEAST = 8  # images of a class, the fewest that tell collapse from chance
_OVERALL = 2_000  # images on either side of the overall figures
_REAL = 50  # real images that stand for a class
_FEW = 5  # real/val images of a class below which real/train helps out
_NEIGHBOURS = 5
_COPY_QUANTILE = 0.01


@dataclass(frozen=True)
class _RealClass:
    """What the images of a class are held against.

    Attributes:
        features: of real images, ``[N, D]``.
        count: of images among which `spacing` looks for the nearest.
        diversity, spacing: of the real images, above 0.
        coverage: what training images cover, at most as many of them as fakes; None where
            training images stand among those to be covered.
    """

    features: Features
    count: int
    diversity: float
    spacing: float
    coverage: float | None

    @classmethod
    def measured(cls, val: Features, train: Features, fakes: int) -> _RealClass | None:
        """Measure a class; None if it has no 2 different real images."""
        few = len(val) < _FEW
        rows = np.concatenate([val, train]) if few else val
        rows, train = rows[some(len(rows), _REAL)], train[some(len(train), _REAL)]
        count = min(_LEAST, fakes, len(rows))
        if len(rows) < 2 or (apart := diversity(rows)) == 0:
            return None
        covered = None
        if not few and len(train) > 0:
            k = _neighbours(rows, fakes)
            covered = expected_coverage(rows, train, min(fakes, len(train)), k)
        return cls(rows, count, apart, spacing(rows, count), covered)

    def judge(self, fakes: Features) -> dict[str, float]:
        k = _neighbours(self.features, len(fakes))
        found = {
            "coverage": expected_coverage(self.features, fakes, len(fakes), k),
            "diversity": diversity(fakes) / self.diversity,
        }
        if self.coverage is not None:
            found["coverage_real"] = self.coverage
        if self.spacing > 0:
            found["spacing"] = spacing(fakes, self.count) / self.spacing
        return found


class Evaluator:
    """Compares images of a GAN with real/val; an `Evaluate` of `tasks.contracts.evaluation`.

    Every class is asked for the same number of images: `per_class`, less where that would be
    more than 500 in all, but 8 if `per_class` allows: fewer do not tell a class that has
    collapsed from one that has not. So an evaluation asks for 500 images up to 62 classes and 8
    a class beyond.

    Overall kid, fid, precision, recall, density and coverage use them in the proportions of
    real/val, so that an uneven real/val tells nothing against the GAN; of either side at most
    2,000 images, chosen at random. The copy rate is of at most 500, evenly over the classes.

    The figures of a class compare with at most 50 of real/val's images of it; below 5 of them,
    with real/train's too, whose features the in-domain network knows by heart. ``coverage_real``
    is what training images cover at an equal count (fewer where the class has no more) and with
    equally many neighbours, the mean of all draws. Diversity and spacing are over real's, spacing
    at an equal count of 8, fewer where the class has no more real images. Two images shown again
    and again are told from the variety of real ones where there are 4 real ones or more. A
    class without 2 different real images has neither, and without any such class there is no
    overall diversity. All numbers are finite.
    """

    def __init__(
        self,
        features: Describe,
        probabilities: Describe,
        train: ImageSet,
        val: ImageSet,
        per_class: int,
        seen: Images | None = None,
    ) -> None:
        """Describe the real images, once.

        Args:
            features: of images.
            probabilities: of the in-domain classifier.
            train: labelled training images.
            val: held-out images.
            per_class: how many images to ask for of each class.
            seen: all images that the GAN trains on, if more than `train`: what it may copy.

        Raises:
            UserError: real/val has fewer than 2 images.
        """
        if len(val) < 2:
            raise UserError(
                "real/val",
                f"{len(val)} images are too few to judge a GAN by",
                "Raise ingest.val_share",
            )
        self._features, self._probabilities = features, probabilities
        pairs = train.manifest[["label", "class_name"]].drop_duplicates().sort_values("label")
        self._names = {int(label): str(name) for label, name in pairs.itertuples(index=False)}
        classes = np.array(list(self._names), dtype=np.int64)
        self._count = max(2, min(per_class, max(_LEAST, _MOST // len(classes))))
        self._labels: Labels = np.repeat(classes, self._count)
        as_val = np.flatnonzero(_in_proportion(self._labels, val.labels))
        self._as_val = as_val[some(len(as_val), _OVERALL)]
        self._checked = np.linspace(0, len(self._labels) - 1, min(len(self._labels), _MOST))
        of_val, of_train = features(val.images), features(train.images)
        self._val = of_val[some(len(val), _OVERALL)]
        rows_of_val, rows_of_train = (rows_of_labels(part.labels) for part in (val, train))
        self._real = {
            label: real
            for label in self._names
            if (
                real := _RealClass.measured(
                    of_val[rows_of_val.get(label, [])],
                    of_train[rows_of_train[label]],
                    self._count,
                )
            )
        }
        self._seen = train.images if seen is None else seen
        held_out = val.take(some(len(val)))
        distance, _ = nearest_training_image(held_out.images, self._seen)
        self._too_near = copy_thresholds(
            distance, held_out.labels, int(classes[-1]) + 1, _COPY_QUANTILE
        )
        self._copy_rate_real = self._copy_rate(distance, held_out.labels)
        recognised = conditioning_accuracy(probabilities(held_out.images), held_out.labels)
        self._conditioning_real = float(np.mean(list(recognised.values())))

    def __call__(self, sample: Sample) -> GanEvaluation:
        """Ask for images and judge them."""
        images, labels = sample(self._labels.copy()), self._labels
        features = self._features(images)
        conditioning = conditioning_accuracy(self._probabilities(images), labels)
        by_class = {}
        for (label, name), fakes in zip(
            self._names.items(),
            features.reshape(len(self._names), self._count, -1),
            strict=True,
        ):
            by_class[name] = {"conditioning": conditioning[label]}
            if label in self._real:
                by_class[name] |= self._real[label].judge(fakes)
        fakes, checked = features[self._as_val], self._checked.astype(np.int64)
        distance, _ = nearest_training_image(images[checked], self._seen)
        overall = {
            "kid": kernel_distance(self._val, fakes),
            "fid": frechet_distance(self._val, fakes),
            **prdc(self._val, fakes, _NEIGHBOURS),
            "conditioning": float(np.mean(list(conditioning.values()))),
            "conditioning_real": self._conditioning_real,
            "copy_rate": self._copy_rate(distance, labels[checked]),
            "copy_rate_real": self._copy_rate_real,
        }
        if self._real:
            known = [of["diversity"] for of in by_class.values() if "diversity" in of]
            overall["diversity"] = float(np.mean(known))
        return GanEvaluation(overall, by_class)

    def _copy_rate(self, distance: Scores, labels: Labels) -> float:
        """Share of images nearer than chance explains; at distance 0 a copy is a copy anyway."""
        return float(((distance == 0) | (distance < self._too_near[labels])).mean())


def _neighbours(real: Features, fakes: int) -> int:
    return min(_NEIGHBOURS, len(real) - 1, fakes - 1)


def _in_proportion(labels: Labels, real: Labels) -> npt.NDArray[np.bool_]:
    """Mark the first rows of each label so that labels are as frequent as in real ones.

    Every label has equally many rows, which stand together.
    """
    classes = np.unique(labels)
    counts = np.bincount(real, minlength=classes[-1] + 1)[classes]
    each = len(labels) // len(classes)
    marked: npt.NDArray[np.bool_] = np.arange(each) < -(-each * counts // counts.max())[:, None]
    return marked.ravel()  # counts rounded up

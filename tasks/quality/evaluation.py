"""Judge a GAN by fresh images of every class against real/val."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tasks.contracts.errors import UserError
from tasks.contracts.evaluation import GanEvaluation, Sample
from tasks.contracts.image_set import Images, ImageSet, Labels
from tasks.quality.fidelity import (
    Features,
    conditioning_accuracy,
    frechet_distance,
    kernel_distance,
    prdc,
    within_class_diversity,
)
from tasks.quality.memorisation import Distances, copy_threshold, nearest

Describe = Callable[[Images], Features]
"""uint8 ``[N, H, W, C]`` to features ``[N, D]``, or to probabilities ``[N, K]``."""

_MOST = 500  # images of one evaluation
_FEW = 5  # real/val images of a class below which real/train helps out
_COPY_QUANTILE = 0.01


class Evaluator:
    """Compares images of a GAN with real/val; an `Evaluate` of `tasks.contracts.evaluation`.

    Every class is asked for the same number of images: `per_class`, less where that would be
    more than 500 in all, never under 2. Overall kid, fid, precision, recall, density and
    coverage use them in the proportions of real/val, so that an uneven real/val tells nothing
    against the GAN. Coverage and diversity of a class compare with real/val's images of it;
    below 5 of them, with real/train's too, whose features the in-domain network knows by heart.
    A class without 2 different real images has neither, and without any such class there is no
    overall diversity. ``coverage_real`` of a class is what its training images cover. All numbers
    are finite.
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
        pairs = train.manifest[["label", "class_name"]].drop_duplicates()
        self._names = {int(label): str(name) for label, name in pairs.itertuples(index=False)}
        classes = np.array(sorted(self._names), dtype=np.int64)
        count = max(2, min(per_class, _MOST // len(classes)))
        self._labels: Labels = np.repeat(classes, count)
        self._val = features(val.images)
        self._as_val = _in_proportion(self._labels, val.labels)
        described = features(train.images)
        self._by_class = _references(self._val, val.labels, described, train.labels)
        self._coverage_real = {
            label: prdc(rows, mine)["coverage"]
            for label, rows in self._by_class.items()
            if len(rows) > 1 and len(mine := described[train.labels == label]) > 1
        }
        self._diversity = {
            label: diversity
            for label, rows in self._by_class.items()
            for diversity in within_class_diversity(rows, np.zeros(len(rows), np.int64)).values()
            if diversity > 0
        }
        self._seen = np.asarray(train.images if seen is None else seen)
        held_out = nearest(val.images, self._seen).distance
        self._threshold = copy_threshold(held_out, _COPY_QUANTILE)
        self._copy_rate_real = self._copy_rate(held_out)

    def __call__(self, sample: Sample) -> GanEvaluation:
        """Ask for images and judge them."""
        images, labels = sample(self._labels.copy()), self._labels
        features = self._features(images)
        conditioning = conditioning_accuracy(self._probabilities(images), labels)
        diversity = {
            label: value / self._diversity[label]
            for label, value in within_class_diversity(features, labels).items()
            if label in self._diversity
        }
        by_class = {}
        for label, name in sorted(self._names.items()):
            by_class[name] = {"conditioning": conditioning[label]}
            if label in diversity:
                fakes = features[labels == label]
                by_class[name]["coverage"] = prdc(self._by_class[label], fakes)["coverage"]
                if label in self._coverage_real:
                    by_class[name]["coverage_real"] = self._coverage_real[label]
                by_class[name]["diversity"] = diversity[label]
        fakes = features[self._as_val]
        overall = {
            "kid": kernel_distance(self._val, fakes),
            "fid": frechet_distance(self._val, fakes),
            **prdc(self._val, fakes),
            "conditioning": float(np.mean(list(conditioning.values()))),
            "copy_rate": self._copy_rate(nearest(images, self._seen).distance),
            "copy_rate_real": self._copy_rate_real,
        }
        if diversity:
            overall["diversity"] = float(np.mean(list(diversity.values())))
        return GanEvaluation(overall, by_class)

    def _copy_rate(self, distance: Distances) -> float:
        """Share of images nearer than chance explains; at distance 0 a copy is a copy anyway."""
        return float(((distance == 0) | (distance < self._threshold)).mean())


def _in_proportion(labels: Labels, real: Labels) -> npt.NDArray[np.bool_]:
    """Mark the first rows of each label so that labels are as frequent as in real ones."""
    counts = {label: int((real == label).sum()) for label in np.unique(labels)}
    most = max(counts.values())
    marked = np.zeros(len(labels), dtype=np.bool_)
    for label, count in counts.items():
        rows = np.flatnonzero(labels == label)
        marked[rows[: -(-len(rows) * count // most)]] = True  # rounded up
    return marked


def _references(
    val: Features, val_labels: Labels, train: Features, train_labels: Labels
) -> dict[int, Features]:
    """Real features of each class to compare with."""
    result = {}
    for label in np.unique(train_labels):
        rows = val[val_labels == label]
        if len(rows) < _FEW:
            rows = np.concatenate([rows, train[train_labels == label]])
        result[int(label)] = rows
    return result

"""Is a mirrored image as plausible as the image? A linear probe in each class that tries to tell.

For an image x and its mirror image m the probe sees x - m, whose sign is the answer. Classes are
probed one by one: b and d together are their own mirror images, and each alone is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import KFold

from tasks.contracts.image_set import ImageSet

_FOLDS, _LEAST, _LEAST_IN_ALL, _NEAR = 5, 10, 100, 0.6


@dataclass(frozen=True)
class Mirror:
    """What the probe found.

    Attributes:
        told_apart: share of unseen images that it tells from their mirror images, 0.5 is chance.
        error: standard error of that.
        images: how many were asked about.
    """

    told_apart: float
    error: float
    images: int

    @property
    def plausible(self) -> bool:
        """Whether mirroring is safe: enough images, and at most 60 % told apart for sure."""
        return self.images >= _LEAST_IN_ALL and self.told_apart + 2 * self.error < _NEAR


def mirrored(images: ImageSet) -> Mirror:
    """Probe every class with at least 10 images, by 5-fold cross-validation."""
    right: list[bool] = []
    for label in np.unique(images.labels):
        pixels = images.images[images.labels == label].astype(np.float64) / 255
        if len(pixels) < _LEAST:
            continue
        odd = (pixels - pixels[:, :, ::-1])[:, :, : pixels.shape[2] // 2].reshape(len(pixels), -1)
        for fit, judge in KFold(_FOLDS, shuffle=True, random_state=0).split(odd):
            probe = RidgeClassifier(alpha=float(odd.shape[1]) * 0.1, fit_intercept=False)
            both = np.concatenate([odd[fit], -odd[fit]])
            probe.fit(both, np.repeat([1, -1], len(fit)))
            right += (probe.decision_function(odd[judge]) > 0).tolist()
    if not right:
        return Mirror(1.0, 0.0, 0)
    share = float(np.mean(right))
    return Mirror(share, float(np.sqrt(max(share * (1 - share), 0.01) / len(right))), len(right))

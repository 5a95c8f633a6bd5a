"""What classifiers reach that never look at an image: the least that an arm has to beat."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tasks.lift.metrics import Counts, Floats, Labels, Metric
from tasks.lift.parts import Floor

_LEAST = float(np.finfo(np.float64).eps)  # as the log loss of a run is clipped


def floors(metrics: Mapping[str, Metric], train: Labels, test: Labels) -> dict[str, Floor]:
    """Return by metric what guessing reaches, and what one answer to everything does.

    Guessing answers each class equally often. The one answer is the class with the most real
    training images; of the log loss, which punishes certainty, the training shares of the classes
    given as probabilities. Both are expected values on the test images.

    Args:
        metrics: by key.
        train: real training images of each class ``[K]``.
        test: test images of each class ``[K]``, each at least 1.
    """
    classes = len(test)
    guessing = np.full(classes, 1.0 / classes)
    shares = train / train.sum()
    one = np.eye(classes)[int(np.argmax(train))]
    return {
        key: Floor(
            chance=_reached(metric, guessing, test),
            # the recall of one class is 1 for whoever names that class always: no floor at all
            majority=None
            if metric.label is not None
            else _reached(metric, shares if key == "log_loss" else one, test),
        )
        for key, metric in metrics.items()
    }


def _reached(metric: Metric, answers: Floats, test: npt.NDArray[np.int64]) -> float:
    """Return a metric of one who gives each class a share ``[K]`` of the answers."""
    counts = Counts(
        hits=test * answers,
        predicted=test.sum() * answers,
        actual=test.astype(np.float64),
        loss=-(test * np.log(np.clip(answers, _LEAST, 1.0))).sum(),
    )
    return float(metric.of(counts))

"""Every metric of every run, on the test set as it is and on resamples of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tasks.lift.intervals import Averaged, Replicated
from tasks.lift.metrics import Counter, Floats, Metric, recall
from tasks.lift.predictions import Predictions
from tasks.lift.resampling import RunDraws, image_weights


@dataclass(frozen=True)
class Replication:
    """What the resamples of the test images gave.

    Attributes:
        metrics: by arm and metric.
        recalls: of treatment and baseline, the mean over runs of each class's recall ``[K]``.
        class_lifts: treatment - baseline of each class's recall, in percentage points.
    """

    metrics: dict[str, dict[str, Replicated]]
    recalls: dict[str, Floats]
    class_lifts: list[Averaged]


def replicate(
    predictions: Predictions,
    metrics: Mapping[str, Metric],
    verdict: tuple[str, str],
    draws: RunDraws,
    seed: int,
) -> Replication:
    """Compute every metric of every run, observed and on B resamples of the test images.

    Weights are drawn block by block, and of each class only means over the runs are kept, so
    memory grows with B x K and with N, but not with B x N.

    Args:
        predictions: of every arm.
        metrics: by name.
        verdict: treatment and baseline.
        draws: B draws of the runs of these two.
        seed: of the draws of images.
    """
    labels, treatment, baseline = predictions.labels, *verdict
    classes = int(labels.max()) + 1
    counters = {
        arm: Counter(labels, runs.predicted, runs.p_label, classes)
        for arm, runs in predictions.arms.items()
    }
    resamples, seeds = draws.weights.shape
    values = {arm: {key: np.empty((resamples, seeds)) for key in metrics} for arm in counters}
    even, drawn = np.empty((resamples, classes)), np.empty((resamples, classes))
    start = 0
    for weights in image_weights(labels, predictions.groups, resamples, seed, seeds * classes):
        rows = slice(start, start + len(weights))
        start = rows.stop
        recalls = {}
        for arm, counter in counters.items():
            counts = counter(weights)
            for key, metric in metrics.items():
                values[arm][key][rows] = metric.of(counts)
            if arm in verdict:
                recalls[arm] = recall(counts)
        # runs last and next to each other, as they lie in `Replicated`: sums round alike
        lifts = np.ascontiguousarray(_lifts(recalls, treatment, baseline).transpose(0, 2, 1))
        even[rows] = lifts.mean(axis=2)
        drawn[rows] = (draws.weights[rows, None, :] * lifts).sum(axis=2)

    as_it_is = np.ones((1, len(labels)))
    observed = {arm: counter(as_it_is) for arm, counter in counters.items()}
    recalls = {arm: recall(observed[arm])[0] for arm in verdict}
    lifts = _lifts(recalls, treatment, baseline)
    return Replication(
        {
            arm: {
                key: Replicated(metric.of(observed[arm])[0], values[arm][key])
                for key, metric in metrics.items()
            }
            for arm in counters
        },
        {arm: of.mean(axis=0) for arm, of in recalls.items()},
        [Averaged(lifts[:, k], even[:, k], drawn[:, k], draws) for k in range(classes)],
    )


def _lifts(recalls: Mapping[str, Floats], treatment: str, baseline: str) -> Floats:
    """Return the lift in recall in percentage points, of any shape."""
    lifts: Floats = 100.0 * (recalls[treatment] - recalls[baseline])
    return lifts

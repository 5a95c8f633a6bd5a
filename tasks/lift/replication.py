"""Every metric of every run, on the test set as it is and on resamples of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tasks.lift.intervals import Replicated
from tasks.lift.metrics import Counter, Floats, Metric, recall
from tasks.lift.predictions import Predictions
from tasks.lift.resampling import image_weights


@dataclass(frozen=True)
class Replication:
    """What the resamples of the test images gave.

    Attributes:
        metrics: by arm and metric.
        recalls: of the two arms of the verdict, of every run and class ``[S, K]``.
        recall_lifts: first - second arm of the verdict on the resamples ``[B, S, K]``.
    """

    metrics: dict[str, dict[str, Replicated]]
    recalls: dict[str, Floats]
    recall_lifts: Floats


def replicate(
    predictions: Predictions,
    metrics: Mapping[str, Metric],
    verdict: tuple[str, str],
    resamples: int,
    seed: int,
) -> Replication:
    """Compute every metric of every run, observed and on B resamples of the test images.

    Memory beside the result is bounded: weights are drawn block by block.

    Args:
        predictions: of every arm.
        metrics: by name.
        verdict: treatment and baseline.
        resamples: B.
        seed: of the draws.
    """
    labels, treatment, baseline = predictions.labels, *verdict
    classes = int(labels.max()) + 1
    counters = {
        arm: Counter(labels, runs.predicted, runs.p_label, classes)
        for arm, runs in predictions.arms.items()
    }
    seeds = len(predictions.arms[baseline].seeds)
    values = {arm: {key: np.empty((resamples, seeds)) for key in metrics} for arm in counters}
    recall_lifts = np.empty((resamples, seeds, classes))
    start = 0
    for weights in image_weights(labels, predictions.groups, resamples, seed):
        rows = slice(start, start + len(weights))
        start = rows.stop
        recalls = {}
        for arm, counter in counters.items():
            counts = counter(weights)
            for key, metric in metrics.items():
                values[arm][key][rows] = metric.of(counts)
            if arm in verdict:
                recalls[arm] = recall(counts)
        recall_lifts[rows] = recalls[treatment] - recalls[baseline]

    even = np.ones((1, len(labels)))
    observed = {arm: counter(even) for arm, counter in counters.items()}
    return Replication(
        {
            arm: {
                key: Replicated(metric.of(observed[arm])[0], values[arm][key])
                for key, metric in metrics.items()
            }
            for arm in counters
        },
        {arm: recall(observed[arm])[0] for arm in verdict},
        recall_lifts,
    )

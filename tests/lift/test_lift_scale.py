"""What a report costs grows with images, classes and resamples, not with their products."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.arms import FILTERED, REAL
from tasks.lift import resampling
from tasks.lift.metrics import METRICS
from tasks.lift.predictions import ArmRuns, Predictions
from tasks.lift.replication import replicate
from tasks.lift.resampling import draw_runs, image_weights
from tasks.lift.summary import lift_result
from tests.lift.fake_inputs import fake_merged
from tests.lift.fake_runs import fake_predictions, report_params, retrained_of, runs_of


@pytest.mark.parametrize("groups", [np.arange(60), np.arange(60) % 25])
def test_weights_are_the_same_in_blocks_of_any_size(groups, monkeypatch):
    labels = np.arange(60) % 3
    whole = np.concatenate(list(image_weights(labels, groups, 600, 0)))
    monkeypatch.setattr(resampling, "_CELLS", 7 * 60)
    blocks = list(image_weights(labels, groups, 600, 0))
    assert max(len(block) for block in blocks) == 7
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert max(len(block) for block in image_weights(labels, groups, 600, 0, width=210)) == 2


def test_resampling_many_images_of_many_classes_holds_few_of_the_weights():
    images, classes, resamples, runs = 40_000, 400, 512, 4
    labels = np.arange(images) % classes
    predicted = np.stack([np.roll(labels, shift % 3) for shift in range(runs)])
    arms = {
        arm: ArmRuns(tuple(range(runs)), None, predicted, np.full((runs, images), 0.7))
        for arm in (REAL, FILTERED)
    }
    predictions = Predictions(labels, np.arange(images), arms)
    draws = draw_runs(None, runs, resamples, 0)
    metrics = {"balanced_accuracy": METRICS["balanced_accuracy"]}
    tracemalloc.start()
    replicate(predictions, metrics, (FILTERED, REAL), draws, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * images * resamples  # a single float64 for each image and resample


class Counted(pd.DataFrame):
    """A manifest that counts how often one of its columns is looked up."""

    looked = 0

    def __getitem__(self, key):
        Counted.looked += 1
        return super().__getitem__(key)


def looks(classes):
    names = [f"class {n}" for n in range(classes)]
    frame = fake_predictions(names, arms=[REAL, FILTERED], test_per_class=4, seeds=2)
    runs = runs_of(frame, classes)
    merged = Counted(fake_merged(names, [2] * classes, gans=1, size=4).manifest)
    Counted.looked = 0
    lift_result(
        runs,
        frame,
        names,
        retrained=retrained_of(runs, list(frame["image_id"].unique())),
        merged=merged,
        control=0,
        gans={},
        params=report_params(),
        seed=0,
    )
    return Counted.looked


def test_the_manifest_is_not_read_anew_for_every_class():
    assert looks(40) == looks(4)

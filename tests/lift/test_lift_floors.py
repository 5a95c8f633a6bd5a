"""What is reached without looking at an image, and the rarest classes."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.lift.floors import floors
from tasks.lift.metrics import METRICS, metric_named
from tasks.lift.summary import lift_result
from tests.lift.fake_inputs import fake_merged
from tests.lift.fake_runs import fake_predictions, report_params, retrained_of, runs_of

NAMES = ("cat", "dog", "eel")


def test_floors_are_those_of_guessing_and_of_the_most_frequent_class():
    recall = metric_named("recall:cat", NAMES)
    found = floors({**METRICS, recall.key: recall}, np.array([80, 10, 10]), np.array([8, 1, 1]))
    assert found["accuracy"].chance == pytest.approx(1 / 3, abs=1e-5)
    assert found["accuracy"].majority == 0.8
    assert found["balanced_accuracy"].majority == pytest.approx(1 / 3, abs=1e-5)
    assert found["macro_f1"].majority == pytest.approx(2 * 0.8 / 1.8 / 3, abs=1e-5)
    assert found["log_loss"].chance == pytest.approx(np.log(3), abs=1e-5)
    shares = np.array([0.8, 0.1, 0.1])
    assert found["log_loss"].majority == pytest.approx(-(shares * np.log(shares)).sum(), abs=1e-5)
    assert found["recall:cat"].majority is None


@pytest.mark.parametrize(
    ("names", "train", "rarest"),
    [
        (NAMES, [20, 20, 11], None),
        (NAMES, [20, 6, 20], ("dog",)),
        # of six classes the rarest third are two, of which one is as frequent as the others
        ((*NAMES, "fox", "gnu", "hen"), [20, 6, 20, 20, 20, 20], ("dog",)),
    ],
)
def test_the_rarest_classes_have_their_own_lift(names, train, rarest):
    frame = fake_predictions(names, effect=0.9)
    runs = runs_of(frame, len(names))
    result = lift_result(
        runs,
        frame,
        names,
        retrained=retrained_of(runs, list(frame["image_id"].unique())),
        merged=fake_merged(names, train, gans=1, size=8).manifest,
        control=60,
        gans={},
        params=report_params(),
        seed=0,
    )
    if rarest is None:
        assert result.rarest is None
    else:
        assert result.rarest.classes == rarest
        assert result.rarest.lift_pp == result.per_class["dog"].lift_pp

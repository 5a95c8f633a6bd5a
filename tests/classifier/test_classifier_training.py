from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn

from tasks.classifier import training
from tasks.classifier.training import (
    Schedule,
    fit,
    optimise,
    probabilities,
    untrained,
)
from tasks.contracts.errors import UserError
from tests.contracts.tiny import shape_set
from tests.data.fake_sets import noise_set
from tests.reference.classifier_fit import fit_slowly

SCHEDULE = Schedule("small_cnn", steps=3, batch_size=8, learning_rate=0.002, weight_decay=0.01)
PLAIN = {"classes": 3, "augment": False, "flip": False}
UNTRAINED = dataclasses.replace(SCHEDULE, steps=0)


def weights(network: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("augment", [False, True])
def test_the_same_seed_gives_the_same_bytes(augment: bool) -> None:
    train = shape_set(5, channels=3)
    settings = PLAIN | {"augment": augment, "flip": True}
    one, two = (weights(fit(train, SCHEDULE, **settings, seed=4)) for _ in range(2))
    assert one == two
    assert one != weights(fit(train, SCHEDULE, **settings, seed=5))


@pytest.mark.parametrize("augment", [False, True])
def test_it_is_the_plain_loop_byte_for_byte(augment: bool) -> None:
    """What is trained with `fit` decides locked outputs, of train_gan for one."""
    train = shape_set(5, channels=3).take([*range(7), 10, 11])  # 5, 2 and 2 images
    schedule = dataclasses.replace(SCHEDULE, steps=12)
    settings = PLAIN | {"augment": augment, "flip": True}
    one = fit(train, schedule, **settings, seed=4)
    assert weights(one) == weights(fit_slowly(train, schedule, **settings, seed=4))


def test_bfloat16_learns_the_same_in_other_bytes_and_leaves_weights_of_float32() -> None:
    # at 8 pixels: without instructions for bfloat16 a step takes a tenth of a second at 16
    train, unseen = shape_set(20), shape_set(20, seed=1)
    full = dataclasses.replace(SCHEDULE, steps=40, batch_size=32)
    reduced = dataclasses.replace(full, precision="bfloat16")
    one, two, other = (fit(train, of, **PLAIN, seed=0) for of in (reduced, reduced, full))
    assert weights(one) == weights(two) != weights(other)
    assert {tensor.dtype for tensor in one.parameters()} == {torch.float32}
    said, asked = probabilities(one, unseen), probabilities(other, unseen)
    assert (said.argmax(axis=1) == unseen.labels).mean() >= 0.95
    assert np.abs(said - asked).mean() < 0.05


def test_no_copy_of_the_training_set_is_made() -> None:
    train = noise_set(3_000, shape=(32, 32, 1))  # 6 MB
    short = dataclasses.replace(SCHEDULE, steps=2)
    tracemalloc.start()
    fit(train, short, classes=2, augment=True, flip=False, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < train.images.nbytes


def test_steps_are_counted_as_they_are_taken() -> None:
    batch = (torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64))
    network = untrained(SCHEDULE, (8, 8, 1), classes=3, seed=0)
    assert optimise(network, SCHEDULE, [batch] * 9) == 3
    assert optimise(network, SCHEDULE, [batch] * 2) == 2
    assert not network.training


def test_the_first_weights_depend_on_the_seed_alone() -> None:
    first = weights(fit(shape_set(5), UNTRAINED, **PLAIN, seed=4))
    other = PLAIN | {"augment": True, "flip": True}
    assert first == weights(fit(shape_set(9, seed=7), UNTRAINED, **other, seed=4))
    assert first != weights(fit(shape_set(5), UNTRAINED, **PLAIN, seed=5))


def test_shapes_are_learned_and_generalise() -> None:
    train, unseen = shape_set(20, size=16), shape_set(20, size=16, seed=1)
    schedule = dataclasses.replace(SCHEDULE, steps=80, batch_size=32)
    network = fit(train, schedule, **PLAIN, seed=0)
    predicted = probabilities(network, unseen)
    assert (predicted.argmax(axis=1) == unseen.labels).mean() > 0.8


def test_a_rare_class_is_shown_as_often_as_a_common_one(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []
    true_loss = torch.nn.functional.cross_entropy

    def watch(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        shown.extend(labels.tolist())
        return true_loss(logits, labels)

    monkeypatch.setattr(training.F, "cross_entropy", watch)
    train = shape_set(40).take([*range(40), 40, 80, 81])  # 40, 1 and 2 images
    fit(train, dataclasses.replace(SCHEDULE, steps=20, batch_size=30), **PLAIN, seed=0)
    counts = np.bincount(shown)
    assert counts.sum() == 600
    assert np.abs(counts - 200).max() < 60


def test_the_learning_rate_warms_up_and_falls_to_nothing() -> None:
    rates = np.array([training._rate(step / 500) for step in range(500)])
    peak = int(rates.argmax())
    assert peak == 50
    assert rates[peak] == pytest.approx(1, abs=0.02)
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert 0 < rates[0] < 0.02
    assert 0 < rates[-1] < 1e-4


def test_probabilities_are_in_order_and_judge_alone() -> None:
    network = fit(shape_set(5), SCHEDULE, **PLAIN, seed=0)
    images = noise_set(300, shape=(8, 8, 1))  # more than one batch
    network.train()  # probabilities() must not let batch statistics in
    together = probabilities(network, images)
    assert together.shape == (600, 3)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    for row in (0, 511, 599):
        alone = probabilities(network, images.take([row]))
        np.testing.assert_allclose(alone[0], together[row], atol=1e-5)


def test_a_diverged_classifier_is_an_error_not_a_score() -> None:
    wild = dataclasses.replace(SCHEDULE, learning_rate=1e30, steps=20)
    with pytest.raises(UserError, match=r"retrain\.learning_rate"):
        fit(shape_set(5), wild, **PLAIN, seed=0)

from __future__ import annotations

import dataclasses
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from tasks.answer import names
from tasks.classifier import exposure
from tasks.classifier.arms import TrainingSet
from tasks.classifier.augmentation import classical
from tasks.classifier.examples import Examples
from tasks.classifier.exposure import ENTRIES, Exposure, Fitted, added_per_step, train_arm
from tasks.classifier.recipes import RECIPES
from tasks.classifier.training import Schedule
from tasks.contracts.params.retrain import EntryName
from tasks.data.batches import to_tensor
from tests.contracts.tiny import shape_set

SCHEDULE = Schedule("small_cnn", steps=4, batch_size=12, learning_rate=0.002, weight_decay=0.01)
LONGER = dataclasses.replace(SCHEDULE, steps=20, batch_size=30)
REAL, SYNTHETIC, OTHER = (
    Examples.of(shape_set(count, seed=seed)) for seed, count in enumerate((6, 4, 4))
)
NONE = SYNTHETIC.take(np.arange(0))
AUGMENTATION = classical(REAL, flip=True)
Batch = tuple[Tensor, Tensor]


def train(added=NONE, *, real=REAL, recipe="classical", seed: int = 3, steps: int = 4) -> Fitted:
    row = RECIPES[recipe]
    return train_arm(
        TrainingSet(real, added, NONE),
        dataclasses.replace(SCHEDULE, steps=steps),
        augment=row.augment and row.augment(AUGMENTATION.ground, True),
        blend=row.blend and row.blend(3),
        weights=None,
        entry="mixed",
        batch_norm="shared",
        classes=3,
        seed=seed,
    )


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[list[Batch]]:
    """What the networks of `train_arm` were given, a list a run."""
    runs: list[list[Batch]] = []
    optimise = exposure.optimise

    def watch(network, schedule, batches) -> int:
        runs.append([])

        def seen():
            for images, targets in batches:
                runs[-1].append((images.clone(), targets.clone()))
                yield images, targets

        return optimise(network, schedule, seen())

    monkeypatch.setattr(exposure, "optimise", watch)
    return runs


def test_every_arm_sees_the_same_real_batch_at_every_step(shown: list[list[Batch]]) -> None:
    train()
    for added in (SYNTHETIC, OTHER, SYNTHETIC.take(np.array([0, 5, 9]))):
        train(added)
    alone, *beside = shown
    assert len(alone) == 4
    for arm in beside:
        for (images, labels), (more, all_labels) in zip(alone, arm, strict=True):
            assert len(more) > 12
            assert torch.equal(images, more[:12])
            assert torch.equal(labels, all_labels[:12])


def test_batches_differ_from_step_to_step_and_seed_to_seed(shown: list[list[Batch]]) -> None:
    train(seed=3)
    train(seed=4)
    everything = [images.numpy().tobytes() for run in shown for images, _ in run]
    assert len(set(everything)) == len(everything)


def test_arms_of_a_seed_start_from_the_same_weights() -> None:
    states = [
        train(added, recipe=recipe, steps=0).network.state_dict()
        for recipe, added in (("plain", NONE), ("mixup", NONE), ("plain", SYNTHETIC))
    ]
    for state in states[1:]:
        assert all(torch.equal(state[key], states[0][key]) for key in state)
    other = train(seed=4, steps=0).network.state_dict()
    assert not torch.equal(other["head.weight"], states[0]["head.weight"])


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, two = (train(SYNTHETIC).network.state_dict() for _ in range(2))
    assert all(one[key].numpy().tobytes() == two[key].numpy().tobytes() for key in one)
    other = train(OTHER).network.state_dict()
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_the_same_images_beside_the_real_ones_are_drawn_anew() -> None:
    """A repeat has rows and augmentation of its own, or it would only double the gradient."""
    chosen = TrainingSet(REAL, REAL, NONE)
    shown = Exposure(chosen, SCHEDULE, augment=AUGMENTATION, blend=None, entry="mixed", seed=0)
    images, _ = next(shown)
    assert len(images) == 24
    assert not torch.equal(images[:12], images[12:])


@pytest.mark.parametrize(
    ("real", "added", "expected"),
    [(100, 0, 0), (100, 100, 64), (100, 50, 32), (100, 500, 64), (1000, 1, 1), (0, 3, 64)],
)
def test_added_images_stand_in_proportion_up_to_as_many(
    real: int, added: int, expected: int
) -> None:
    assert added_per_step(64, real, added) == expected


def test_what_was_shown_is_counted_where_it_is_shown(shown: list[list[Batch]]) -> None:
    runs = [
        train(),
        train(SYNTHETIC),
        train(SYNTHETIC, real=NONE),
        train(steps=5),
    ]
    counted = [(run.steps, run.real_seen, run.added_seen) for run in runs]
    assert counted == [(4, 48, 0), (4, 48, 32), (4, 0, 48), (5, 60, 0)]
    for run, batches in zip(runs, shown, strict=True):
        assert run.real_seen + run.added_seen == sum(len(images) for images, _ in batches)


def test_classes_are_shown_alike_in_both_parts() -> None:
    rare = REAL.take(np.array([0, *range(6, 18)]))  # one circle, six of the others
    shown = Exposure(
        TrainingSet(rare, SYNTHETIC, NONE), LONGER, augment=None, blend=None, entry="mixed", seed=0
    )
    labels = torch.stack([next(shown)[1] for _ in range(20)])
    for part in (labels[:, :30], labels[:, 30:]):
        counts = np.bincount(part.flatten())
        assert np.abs(counts / counts.sum() - 1 / 3).max() < 0.06


def test_classes_that_are_given_nothing_weigh_as_much_as_before() -> None:
    """Two circles and six of the others; four circles are added, and real images stand in."""
    rare = REAL.take(np.array([0, 1, *range(6, 18)]))
    circles = SYNTHETIC.take(np.arange(4))
    chosen = TrainingSet(rare, circles, rare.take(np.arange(2, 14)))
    shown = Exposure(chosen, LONGER, augment=None, blend=None, entry="mixed", seed=0)
    labels = torch.stack([next(shown)[1] for _ in range(20)])
    assert labels.shape == (20, 60)
    beside = np.bincount(labels[:, 30:].flatten())
    assert np.abs(beside / beside.sum() - 1 / 3).max() < 0.06
    assert (shown.real_seen, shown.added_seen) == (600, 600)


def test_mixing_takes_the_augmented_real_batch_and_mixes_labels_with_it(
    shown: list[list[Batch]],
) -> None:
    train(steps=20)
    train(recipe="mixup", steps=20)
    plain, mixed = shown
    blended = cut = 0
    for (images, labels), (others, shares) in zip(plain, mixed, strict=True):
        assert shares.shape == (12, 3)
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(12))
        partner = torch.nn.functional.one_hot(labels, 3).float()
        own = (shares * partner + shares * partner.roll(1, 0)).sum(dim=1)
        assert (own > 0.999).all()  # no class but the image's own and its neighbour's
        own_pixel = torch.isclose(others, images, atol=1e-6)
        either = own_pixel | torch.isclose(others, images.roll(1, 0), atol=1e-6)
        cut, blended = cut + int(either.all()), blended + int(not either.all())
    assert cut > 2
    assert blended > 2


def test_mixing_mixes_what_is_added_too(shown: list[list[Batch]]) -> None:
    fitted = train(SYNTHETIC, recipe="mixup")
    assert fitted.added_seen == 32
    shares = torch.cat([targets for _, targets in shown[0]])
    assert ((shares > 0).sum(dim=1) == 2).any()


def test_dropout_is_drawn_by_seed_and_step_not_by_what_stands_beside() -> None:
    """The state a network draws from is the same whatever was drawn for the batch."""
    states = []
    for added in (NONE, SYNTHETIC):
        chosen = TrainingSet(REAL, added, NONE)
        shown = Exposure(chosen, SCHEDULE, augment=AUGMENTATION, blend=None, entry="mixed", seed=1)
        next(shown)
        states.append(torch.rand(3).tolist())
    assert states[0] == states[1]


def test_settings_take_the_entries_that_there_are_and_the_page_explains_them() -> None:
    assert tuple(ENTRIES) == get_args(EntryName) == tuple(names.ENTRIES)


def exposure_of(chosen: TrainingSet, entry: EntryName) -> Exposure:
    return Exposure(chosen, LONGER, augment=None, blend=None, entry=entry, seed=0)


def in_order(batches: list[Batch], of: Examples) -> list[bytes]:
    """The images of a set, as they were shown."""
    known = {image.tobytes() for image in to_tensor(of.pixels(slice(None))).numpy()}
    seen = [image.numpy().tobytes() for images, _ in batches for image in images]
    return [image for image in seen if image in known]


@pytest.mark.parametrize("entry", ["pretrain", "decayed"])
@pytest.mark.parametrize("added", [SYNTHETIC, SYNTHETIC.take(np.array([0, 5, 9]))])
def test_an_entry_changes_when_images_are_shown_and_not_which(
    entry: EntryName, added: Examples
) -> None:
    """As many steps, real and added images as when mixed, the same ones in the same order."""
    chosen = TrainingSet(REAL, added, NONE)
    mixed, other = exposure_of(chosen, "mixed"), exposure_of(chosen, entry)
    shown = [list(mixed), list(other)]
    assert len(shown[0]) == len(shown[1]) == 20
    assert mixed.real_seen == other.real_seen == 600
    assert mixed.added_seen == other.added_seen == 20 * added_per_step(30, 18, len(added))
    for part in (REAL, added):
        first, second = (in_order(batches, part) for batches in shown)
        assert first == second
        assert first


def test_pretraining_shows_added_images_alone_and_then_real_ones_alone() -> None:
    shown = list(exposure_of(TrainingSet(REAL, SYNTHETIC, NONE), "pretrain"))
    real = [len(in_order([batch], REAL)) for batch in shown]
    assert real == [0] * 8 + [50] * 12  # 20 of the 50 images of a mixed step are added
    assert {len(images) for images, _ in shown} == {50}


def test_a_decaying_part_falls_to_none_beside_as_many_real_images_as_ever() -> None:
    shown = list(exposure_of(TrainingSet(REAL, SYNTHETIC, NONE), "decayed"))
    assert {len(in_order([batch], REAL)) for batch in shown} == {30}
    added = [len(images) - 30 for images, _ in shown]
    assert added == sorted(added, reverse=True)
    assert (added[0], added[-1]) == (39, 1)


@pytest.mark.parametrize("entry", ["pretrain", "decayed"])
def test_an_arm_of_one_part_is_the_same_whatever_the_entry(entry: EntryName) -> None:
    for chosen in (TrainingSet(REAL, NONE, NONE), TrainingSet(NONE, SYNTHETIC, NONE)):
        mixed, other = (list(exposure_of(chosen, name)) for name in ("mixed", entry))
        assert all(torch.equal(a, b) for (a, _), (b, _) in zip(mixed, other, strict=True))

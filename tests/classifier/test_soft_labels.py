from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tasks.classifier.arms import TrainingSet
from tasks.classifier.certainty import Ensemble, tempered
from tasks.classifier.crossfit import cross_fit
from tasks.classifier.distillation import distil, softly_labelled
from tasks.classifier.examples import Examples
from tasks.classifier.exposure import Exposure, train_arm
from tasks.classifier.recipes import RECIPES
from tasks.classifier.training import Schedule, probabilities
from tasks.contracts.image_set import SHARES, ImageSet, concatenate, image_id
from tests.contracts.tiny import shape_set
from tests.data.fake_sets import noise_set, soft_set

QUICK = Schedule("small_cnn", steps=8, batch_size=12, learning_rate=0.002, weight_decay=0.01)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def train() -> ImageSet:
    return shape_set(6)


@pytest.fixture(scope="module")
def ensemble(train: ImageSet) -> Ensemble:
    fitted = cross_fit(train, QUICK, folds=3, seed=1, watch=lambda share, text: None)
    return Ensemble(fitted, temperature=1.7)


def test_a_soft_label_is_the_tempered_mean_of_every_classifier(ensemble: Ensemble) -> None:
    images = shape_set(4, seed=3)
    each = [probabilities(network, images) for network in ensemble.fitted.networks]
    for row, shares in enumerate(ensemble.shares(images)):
        mean = np.mean([one[row] for one in each], axis=0, dtype=np.float64)
        powers = mean ** (1 / 1.7)  # softmax(log(p) / T) is p to the power 1 / T, made to sum to 1
        np.testing.assert_allclose(shares, powers / powers.sum(), rtol=1e-4)
    assert isinstance(tempered(each[0], 1.0), np.ndarray)


def test_soft_labels_go_wherever_their_images_go() -> None:
    soft, hard = soft_set(4, seed=1), noise_set(3, seed=2)
    told = np.stack(soft.manifest[SHARES].to_list())
    examples = Examples.of(soft)
    both = Examples.of(hard).joined(examples.take(np.array([5, 0])))
    np.testing.assert_array_equal(both.targets(np.array([6, 7])), told[[5, 0]])
    np.testing.assert_array_equal(both.targets(np.array([0, 5])), [[1, 0], [0, 1]])
    again = pickle.loads(pickle.dumps(both))  # as a worker is sent them
    np.testing.assert_array_equal(again.shares, both.shares)
    merged = concatenate([hard, soft])
    assert Examples.of(merged, np.arange(6)).shares is None  # the real ones have none
    np.testing.assert_array_equal(Examples.of(merged, np.arange(6, 14)).shares, told)


def test_a_set_with_soft_labels_is_another_one(tmp_path) -> None:
    soft = soft_set(4)
    merged = concatenate([noise_set(3, seed=2), soft])
    merged.save(tmp_path)  # some rows without
    stored = Examples.of(ImageSet.load(tmp_path), np.arange(6, 14))
    assert stored.identity == Examples.of(soft).identity
    hard = ImageSet(soft.images, soft.manifest.drop(columns=SHARES))
    other = softly_labelled(hard, np.full((8, 2), 0.5, dtype=np.float32))
    identities = {Examples.of(images).identity for images in (soft, hard, other)}
    assert len(identities) == 3


@pytest.mark.parametrize("recipe", ["plain", "classical", "smoothing", "mixup"])
def test_whole_shares_train_as_labels_do(recipe: str) -> None:
    real, added = Examples.of(shape_set(6)), Examples.of(shape_set(4, seed=1))
    none = real.take(np.array([], dtype=np.int64))
    whole = replace(added, shares=np.eye(3, dtype=np.float32)[added.labels])
    row = RECIPES[recipe]
    hard, soft = (
        train_arm(
            TrainingSet(real, images, none),
            QUICK,
            augment=None,
            blend=row.blend and row.blend(3),
            weights=None,
            entry="mixed",
            batch_norm="shared",
            classes=3,
            seed=2,
        )
        for images in (added, whole)
    )
    test = shape_set(5, seed=8)
    said = probabilities(hard.network, test)
    np.testing.assert_allclose(probabilities(soft.network, test), said, atol=1e-4)


def test_a_batch_asks_for_the_shares_of_added_images_and_for_the_labels_of_real_ones() -> None:
    real, added = Examples.of(noise_set(6)), Examples.of(soft_set(4, seed=1))
    none = real.take(np.array([], dtype=np.int64))
    chosen = TrainingSet(real, added, none)
    batches = Exposure(chosen, QUICK, augment=None, blend=None, entry="mixed", seed=0)
    plain = Exposure(
        TrainingSet(real, Examples.of(noise_set(4, seed=1)), none),
        QUICK,
        augment=None,
        blend=None,
        entry="mixed",
        seed=0,
    )
    shares_of = {
        image.tobytes(): shares
        for image, shares in zip(
            added.pixels(slice(None)), added.targets(np.arange(8)), strict=True
        )
    }
    for (images, targets), (same, labels) in zip(batches, plain, strict=True):
        assert torch.equal(images, same)  # which images, and their order, are as with hard labels
        assert torch.equal(targets[:12], F.one_hot(labels[:12], 2).float())
        pixels = ((images[12:] + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        for image, shares in zip(pixels, targets[12:].numpy(), strict=True):
            np.testing.assert_array_equal(shares, shares_of[image.tobytes()])


def test_what_is_distilled_is_as_many_real_images_changed_under_what_the_ensemble_says(
    train: ImageSet, ensemble: Ensemble
) -> None:
    wanted = {0: 70, 1: 3, 2: 40}
    made = distil(train, wanted, ensemble, seed=4)
    assert {label: int((made.labels == label).sum()) for label in wanted} == wanted
    assert made.manifest["image_id"].tolist() == [image_id(image) for image in made.images]
    assert set(made.manifest["group"]) <= set(train.manifest["group"])
    assert set(made.manifest["origin"]) == {"real"}
    assert not set(made.manifest["image_id"]) & set(train.manifest["image_id"])
    shares = np.stack(made.manifest[SHARES].to_list())
    np.testing.assert_array_equal(shares, ensemble.shares(made))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-5)
    torch.manual_seed(99)  # no draw hangs on what came before
    again = distil(train, wanted, ensemble, seed=4)
    np.testing.assert_array_equal(made.images, again.images)
    first = made.labels[:30]  # the first of them are of every class: an arm may take fewer
    assert set(first.tolist()) >= {0, 2}


def test_nothing_is_distilled_where_nothing_is_asked_for(
    train: ImageSet, ensemble: Ensemble
) -> None:
    none = distil(train, {}, ensemble, seed=4)
    assert len(none) == 0
    assert SHARES not in none.manifest

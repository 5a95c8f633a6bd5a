"""Batch norm's statistics: of added images apart, and taken anew of the domain asked about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tasks.classifier import batch_norm
from tasks.classifier.arms import TrainingSet
from tasks.classifier.batch_norm import SeparateNorm, adapt, has_batch_norm
from tasks.classifier.examples import Examples
from tasks.classifier.exposure import Fitted, train_arm
from tasks.classifier.networks import SmallCnn
from tasks.classifier.recipes import RECIPES
from tasks.classifier.training import Schedule, probabilities
from tasks.contracts.params.retrain import BatchNormName, EntryName
from tasks.data.batches import to_tensor
from tests.contracts.tiny import shape_set

QUICK = Schedule("small_cnn", steps=6, batch_size=12, learning_rate=0.002, weight_decay=0.01)
REAL, ADDED = Examples.of(shape_set(6)), Examples.of(shape_set(4, seed=1))
NONE = REAL.take(np.array([], dtype=np.int64))
pytestmark = pytest.mark.usefixtures("one_thread")


class Shown:
    """A batch of so many real and added images."""

    def __init__(self, real: int, added: int) -> None:
        self.counts = (real, added)


def network() -> SmallCnn:
    torch.manual_seed(0)
    return SmallCnn(channels=1, classes=3).train()


def inverted(images: Examples) -> Examples:
    return replace(images, sources=tuple(255 - np.asarray(one) for one in images.sources))


def remembered(of: nn.Module) -> list[torch.Tensor]:
    """All running statistics, and the number of batches that they are of."""
    return [buffer.clone() for buffer in of.buffers()]


def trained(
    added: Examples = ADDED,
    norm: BatchNormName = "separate",
    *,
    real: Examples = REAL,
    entry: EntryName = "mixed",
    recipe: str = "mixup",
    adapt_to: Examples | None = None,
) -> Fitted:
    row = RECIPES[recipe]
    return train_arm(
        TrainingSet(real, added, NONE),
        QUICK,
        augment=None,
        blend=row.blend and row.blend(3),
        weights=None,
        entry=entry,
        batch_norm=norm,
        adapt_to=adapt_to,
        classes=3,
        seed=2,
    )


def test_each_part_is_normalised_as_if_it_were_alone_and_real_images_are_remembered() -> None:
    one, two, three = network(), network(), network()
    real, added = to_tensor(REAL.pixels(slice(12))), to_tensor(ADDED.pixels(slice(5)))
    both = SeparateNorm(one, Shown(12, 5))(torch.cat([real, added]))
    assert torch.equal(both[:12], two(real))
    assert torch.equal(both[12:], three(added))
    for mine, theirs in zip(remembered(one), remembered(two), strict=True):
        assert torch.equal(mine, theirs)
    assert all(
        norm.track_running_stats for norm in one.modules() if isinstance(norm, nn.BatchNorm2d)
    )


def test_a_part_of_one_image_joins_the_other() -> None:
    one, two = network(), network()
    images = to_tensor(REAL.pixels(slice(9)))
    assert torch.equal(SeparateNorm(one, Shown(8, 1))(images), two(images))


def test_what_added_images_look_like_leaves_no_trace_in_the_statistics() -> None:
    """Not even where they are the negatives of shapes on dark grounds."""
    bright = inverted(ADDED)
    apart, together = (
        [remembered(trained(added, norm).network) for added in (NONE, bright)]
        for norm in ("separate", "shared")
    )
    first = slice(0, 2)  # of the first norm, which no weight of a norm before has moved much

    def alike(pair: list[list[torch.Tensor]]) -> bool:
        one, two = (each[first] for each in pair)
        return all(torch.allclose(a, b, atol=0.02) for a, b in zip(one, two, strict=True))

    assert alike(apart)
    assert not alike(together)


@pytest.mark.parametrize("entry", ["mixed", "pretrain", "decayed"])
@pytest.mark.parametrize("recipe", ["classical", "mixup"])
def test_as_many_images_are_shown_either_way(entry: EntryName, recipe: str) -> None:
    apart, together = (
        trained(norm=norm, entry=entry, recipe=recipe) for norm in ("separate", "shared")
    )
    for name in ("steps", "real_seen", "added_seen"):
        assert getattr(apart, name) == getattr(together, name)
    said = probabilities(apart.network, shape_set(5, seed=8))
    assert np.isfinite(said).all()
    assert isinstance(apart.network, SmallCnn)  # what is kept has no trace of how it was trained


@pytest.mark.parametrize("which", ["real", "added"])
def test_one_kind_of_images_is_normalised_as_ever(which: str) -> None:
    real, added = (REAL, NONE) if which == "real" else (NONE, ADDED)
    test = shape_set(5, seed=8)
    apart, together = (
        probabilities(trained(added, norm, real=real).network, test)
        for norm in ("separate", "shared")
    )
    np.testing.assert_array_equal(apart, together)


def test_adapted_statistics_are_the_means_of_the_images_given(monkeypatch) -> None:
    """Of several batches as large as one another, against sums over all images."""
    monkeypatch.setattr(batch_norm, "BATCH", 6)
    fitted = network()
    weights = [weight.clone() for weight in fitted.parameters()]
    adapt(fitted.eval(), REAL)
    assert not fitted.training
    before_norm = fitted.features[0][0](to_tensor(REAL.pixels(slice(None))))
    mean = before_norm.mean(dim=(0, 2, 3))
    torch.testing.assert_close(fitted.features[0][1].running_mean, mean, atol=1e-5, rtol=1e-4)
    for weight, before in zip(fitted.parameters(), weights, strict=True):
        assert torch.equal(weight, before)


def test_an_arm_is_adapted_after_its_last_step_and_its_weights_stay() -> None:
    plain, adapted = (trained(norm="shared", adapt_to=to) for to in (None, inverted(REAL)))
    states = (plain.network.state_dict(), adapted.network.state_dict())
    for name in states[0].keys() - {f"features.{of}.1.num_batches_tracked" for of in range(3)}:
        same = torch.equal(states[0][name], states[1][name])
        assert same != ("running" in name), name
    adapt(plain.network, inverted(REAL))
    for name in ("features.0.1.running_mean", "features.2.1.running_var"):
        assert torch.equal(plain.network.state_dict()[name], states[1][name])


def test_a_network_without_batch_norm_is_known() -> None:
    assert has_batch_norm(network())
    assert not has_batch_norm(nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2)))

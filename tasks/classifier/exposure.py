"""Equal exposure: every arm takes the same steps and sees the same real batches in them.

Rows, order and augmentation of the real part hang on the classifier seed alone, so an arm
differs from the next by what stands beside the real images and by nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tasks.classifier.arms import TrainingSet
from tasks.classifier.augmentation import Augment
from tasks.classifier.examples import Examples
from tasks.classifier.recipes import Blend
from tasks.classifier.saved import load_weights
from tasks.classifier.training import Schedule, optimise, untrained
from tasks.data.batches import ClassSampler, to_tensor

_REAL, _ADDED, _BLENDED, _NETWORK = range(4)  # streams of random draws


@dataclass(frozen=True)
class Fitted:
    """A trained classifier and what it took.

    Attributes:
        network: in eval mode.
        steps: optimiser steps taken.
        real_seen: real images shown, repeats counted.
        added_seen: added images shown, likewise, and real ones in their place.
    """

    network: nn.Module
    steps: int
    real_seen: int
    added_seen: int


def added_per_step(batch_size: int, real: int, added: int) -> int:
    """Return how many added images stand beside a batch of real ones (or alone, without any).

    In proportion to their number, up to as many as the real ones: beyond that more images bring
    variety, not weight.
    """
    if not added:
        return 0
    return max(1, round(batch_size * min(1.0, added / real))) if real else batch_size


def train_arm(
    chosen: TrainingSet,
    schedule: Schedule,
    *,
    augment: Augment | None,
    blend: Blend | None,
    weights: Path | None,
    classes: int,
    seed: int,
) -> Fitted:
    """Train one classifier from the first weights that all arms of this seed share.

    Args:
        chosen: what it trains on.
        schedule: of every arm alike.
        augment: of the recipe, for real and added images alike.
        blend: of the recipe, for the whole batch.
        weights: a file to start from; None starts from scratch.
        classes: K.
        seed: of weights, batches, augmentation and dropout.

    Raises:
        UserError: the training diverged, or the weights do not fit.
    """
    shape = chosen.real.image_shape
    network = untrained(schedule, shape, classes=classes, seed=seed)
    if weights is not None:
        load_weights(network, weights, schedule.classifier, classes=classes, shape=shape)
    shown = Exposure(chosen, schedule.batch_size, augment=augment, blend=blend, seed=seed)
    steps = optimise(network, schedule, shown)
    return Fitted(network, steps, shown.real_seen, shown.added_seen)


class Exposure(Iterator[tuple[Tensor, Tensor]]):
    """Endless batches of a run, class-balanced: real images first, then added ones.

    Before each part's draws torch's global random state is set by seed, part and step, so that
    no part shifts another; afterwards it is set for what the network draws.

    Attributes:
        real_seen: real images given out so far.
        added_seen: added images given out so far, real ones in their place too.
    """

    def __init__(
        self,
        chosen: TrainingSet,
        batch_size: int,
        *,
        augment: Augment | None,
        blend: Blend | None,
        seed: int,
    ) -> None:
        self.real_seen = self.added_seen = self._step = 0
        self._seed, self._blend = seed, blend
        size = batch_size if len(chosen.real) else 0
        self._real = _Part(chosen.real, size, augment, np.random.default_rng([seed, 2]))
        beside, size = chosen.added, added_per_step(batch_size, len(chosen.real), len(chosen.added))
        if len(chosen.stand_ins):
            beside, size = chosen.added.joined(chosen.stand_ins), batch_size
        self._added = _Part(beside, size, augment, np.random.default_rng([seed, 4]))

    def __next__(self) -> tuple[Tensor, Tensor]:
        """Images ``[B, C, H, W]`` in -1..1, and labels ``[B]`` or, blended, shares ``[B, K]``."""
        parts = []
        for stream, part in ((_REAL, self._real), (_ADDED, self._added)):
            self._reseed(stream)
            if part.size:
                parts.append(part.draw())
        images, targets = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
        if self._blend is not None:
            self._reseed(_BLENDED)
            images, targets = self._blend(images, targets)
        self._reseed(_NETWORK)
        self.real_seen += self._real.size
        self.added_seen += self._added.size
        self._step += 1
        return images.contiguous(memory_format=torch.channels_last), targets

    def _reseed(self, stream: int) -> None:
        state = np.random.SeedSequence([self._seed, stream, self._step]).generate_state(2)
        # manual_seed of torch itself also queues a call for each kind of device, every time
        torch.default_generator.manual_seed(int(state[0]) << 32 | int(state[1]))


class _Part:
    """Draws `size` images at a time from a set, every class alike."""

    def __init__(
        self, images: Examples, size: int, augment: Augment | None, rng: np.random.Generator
    ) -> None:
        self.size = size
        self._images, self._augment = images, augment
        self._sampler = ClassSampler(images.labels, rng)

    def draw(self) -> tuple[Tensor, Tensor]:
        rows = self._sampler.rows_of(self._sampler.labels(self.size))
        images, labels = to_tensor(self._images.pixels(rows)), self._images.labels[rows]
        images = images if self._augment is None else self._augment(images)
        return images, torch.from_numpy(labels)

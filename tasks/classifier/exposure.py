"""Equal exposure: every arm takes the same steps and sees the same real images in them.

Rows, order and augmentation of the real part hang on the classifier seed alone, so an arm
differs from the next by what stands beside the real images and by nothing else. When added images
are shown is one row of `ENTRIES`; how many are shown in all is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.classifier.arms import TrainingSet
from tasks.classifier.augmentation import Augment
from tasks.classifier.batch_norm import SeparateNorm, adapt
from tasks.classifier.examples import Examples
from tasks.classifier.recipes import Blend
from tasks.classifier.saved import load_weights
from tasks.classifier.training import Schedule, optimise, untrained
from tasks.contracts.params.retrain import BatchNormName, EntryName
from tasks.data.batches import ClassSampler, to_tensor

_REAL, _ADDED, _BLENDED, _NETWORK = range(4)  # streams of random draws


def _mixed(done: float, added: float) -> tuple[float, float]:
    return done, done


def _pretrain(done: float, added: float) -> tuple[float, float]:
    """The added images first, the real ones then: as many in a step as of both when mixed."""
    return max(0.0, done - added) / (1.0 - added), min(1.0, done / added)


def _decayed(done: float, added: float) -> tuple[float, float]:
    """Added images beside the real ones, twice as many at first, falling to none."""
    return done, 1.0 - (1.0 - done) ** 2


ENTRIES: Mapping[EntryName, Callable[[float, float], tuple[float, float]]] = {
    "mixed": _mixed,
    "pretrain": _pretrain,
    "decayed": _decayed,
}
"""Share of the steps done and of added images among all, to the shares shown of real and added."""


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
    entry: EntryName,
    batch_norm: BatchNormName,
    adapt_to: Examples | None = None,
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
        entry: when added images are shown.
        batch_norm: whether real and added images share its statistics in training.
        adapt_to: images to take its statistics of anew, once trained.
        classes: K.
        seed: of weights, batches, augmentation and dropout.

    Raises:
        UserError: the training diverged, or the weights do not fit.
    """
    shape = chosen.real.image_shape
    network = untrained(schedule, shape, classes=classes, seed=seed)
    if weights is not None:
        load_weights(network, weights, schedule.classifier, classes=classes, shape=shape)
    apart = batch_norm == "separate" and len(chosen.real) > 0 and len(chosen.added) > 0
    shown = Exposure(
        chosen, schedule, augment=augment, blend=blend, entry=entry, seed=seed, apart=apart
    )
    steps = optimise(SeparateNorm(network, shown) if apart else network, schedule, shown)
    if adapt_to is not None:
        adapt(network, adapt_to)
    return Fitted(network, steps, shown.real_seen, shown.added_seen)


class Exposure(Iterator[tuple[Tensor, Tensor]]):
    """Batches of a run, one a step, class-balanced: real images first, then added ones.

    Before each part's draws torch's global random state is set by seed, part and step, so that
    no part shifts another; afterwards it is set for what the network draws.

    Attributes:
        real_seen: real images given out so far.
        added_seen: added images given out so far, real ones in their place too.
        counts: real and added images of the last batch.
    """

    def __init__(
        self,
        chosen: TrainingSet,
        schedule: Schedule,
        *,
        augment: Augment | None,
        blend: Blend | None,
        entry: EntryName,
        seed: int,
        apart: bool = False,
    ) -> None:
        self.counts, self._apart = (0, 0), apart  # whether real images blend with real ones alone
        self.real_seen = self.added_seen = self._step = 0
        self._seed, self._blend, self._steps = seed, blend, schedule.steps
        batch_size = schedule.batch_size
        size = batch_size if len(chosen.real) else 0
        self._real = _Part(chosen.real, size, augment, np.random.default_rng([seed, 2]))
        beside, size = chosen.added, added_per_step(batch_size, len(chosen.real), len(chosen.added))
        if len(chosen.stand_ins):
            beside, size = chosen.added.joined(chosen.stand_ins), batch_size
        self._added = _Part(beside, size, augment, np.random.default_rng([seed, 4]))
        both = self._real.size and self._added.size
        self._entry = ENTRIES[entry if both else "mixed"]

    def __next__(self) -> tuple[Tensor, Tensor]:
        """Images ``[B, C, H, W]`` in -1..1; labels ``[B]`` or, blended or soft, ``[B, K]``."""
        if self._step == self._steps:
            raise StopIteration
        real, added = self._due()
        self.counts, parts = (real - self.real_seen, added - self.added_seen), []
        for stream, part in ((_REAL, self._real), (_ADDED, self._added)):
            self._reseed(stream)
            if self.counts[stream]:
                parts.append(part.draw(self.counts[stream]))
        parts = parts if self._apart else [_joined(parts)]
        if self._blend is not None:
            self._reseed(_BLENDED)
            parts = [self._blend(*part) for part in parts]
        images, targets = _joined(parts)
        self._reseed(_NETWORK)
        self.real_seen, self.added_seen = real, added
        self._step += 1
        return images.contiguous(memory_format=torch.channels_last), targets

    def _due(self) -> tuple[int, int]:
        """Images of both parts to be shown by the end of this step."""
        sizes = self._real.size, self._added.size
        shares = self._entry((self._step + 1) / self._steps, sizes[1] / sum(sizes))
        return round(sizes[0] * self._steps * shares[0]), round(sizes[1] * self._steps * shares[1])

    def _reseed(self, stream: int) -> None:
        state = np.random.SeedSequence([self._seed, stream, self._step]).generate_state(2)
        # manual_seed of torch itself also queues a call for each kind of device, every time
        torch.default_generator.manual_seed(int(state[0]) << 32 | int(state[1]))


class _Part:
    """Draws images from a set, every class alike: `size` of them a step on average.

    Which ones, and their order, are the same however many are taken at a time.
    """

    def __init__(
        self, images: Examples, size: int, augment: Augment | None, rng: np.random.Generator
    ) -> None:
        self.size = size
        self._images, self._augment = images, augment
        self._sampler = ClassSampler(images.labels, rng)
        self._ahead = np.array([], dtype=np.int64)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        while len(self._ahead) < count:
            drawn = self._sampler.rows_of(self._sampler.labels(self.size))
            self._ahead = np.concatenate([self._ahead, drawn])
        rows, self._ahead = self._ahead[:count], self._ahead[count:]
        images = to_tensor(self._images.pixels(rows))
        images = images if self._augment is None else self._augment(images)
        return images, torch.from_numpy(self._images.targets(rows))


def _joined(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Images and their targets in one batch; a label beside soft ones is a share of 1."""
    images, targets = zip(*parts, strict=True)
    soft = [of_part for of_part in targets if of_part.ndim == 2]
    if soft:
        classes = soft[0].shape[1]
        targets = tuple(
            of_part if of_part.ndim == 2 else F.one_hot(of_part, classes).float()
            for of_part in targets
        )
    return torch.cat(images), torch.cat(targets)

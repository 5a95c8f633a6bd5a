"""Fit a classifier for a fixed number of steps, and read its probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.classifier.augmentation import Augment, classical
from tasks.classifier.examples import Examples
from tasks.classifier.networks import build_classifier
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images, ImageSet
from tasks.contracts.params.sections import Precision
from tasks.data.batches import ClassSampler, to_tensor

Probabilities = npt.NDArray[np.float32]
Outputs = npt.NDArray[np.float32]
BATCH = 512  # images that are judged at a time: another number may round otherwise
_WARMUP = 0.1  # of the steps


@dataclass(frozen=True)
class Schedule:
    """What every fit of one comparison shares."""

    classifier: str
    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    precision: Precision = "float32"


class DivergedError(UserError):
    """A training that ended in no numbers."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__(
            f"classifier {schedule.classifier}",
            f"its weights are no longer finite numbers after {schedule.steps} steps",
            "Lower retrain.learning_rate",
        )


def fit(
    train: ImageSet | Examples,
    schedule: Schedule,
    *,
    classes: int,
    augment: bool,
    flip: bool,
    seed: int,
) -> nn.Module:
    """Train from scratch on class-balanced batches; the last step's weights are the result.

    The same seed gives the same initial weights whatever the training set.

    Raises:
        UserError: the training diverged.
    """
    network = untrained(schedule, train.image_shape, classes=classes, seed=seed)
    examples = Examples.of(train)
    augmentation: Augment = classical(examples, flip=flip) if augment else nn.Identity()
    sampler = ClassSampler(examples.labels, np.random.default_rng([seed, 2]))

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            rows = sampler.rows_of(sampler.labels(schedule.batch_size))
            images = augmentation(to_tensor(examples.pixels(rows)))
            yield (
                images.contiguous(memory_format=torch.channels_last),
                torch.from_numpy(examples.targets(rows)),
            )

    optimise(network, schedule, batches())
    return network


def untrained(
    schedule: Schedule, image_shape: tuple[int, int, int], *, classes: int, seed: int
) -> nn.Module:
    """Build the classifier for images (H, W, C); the same seed gives the same weights.

    Sets torch's global random state.
    """
    torch.manual_seed(seed)
    size, _, channels = image_shape
    network = build_classifier(
        schedule.classifier, channels=channels, classes=classes, image_size=size
    )
    return network.to(memory_format=torch.channels_last)  # a tenth faster on CPUs


def optimise(
    network: nn.Module, schedule: Schedule, batches: Iterable[tuple[Tensor, Tensor]]
) -> int:
    """Train in place by AdamW, a linear warm-up and a cosine to zero; leave it in eval mode.

    Args:
        network: images ``[B, C, H, W]`` to logits ``[B, K]``.
        schedule: says how many of the batches to take, and how.
        batches: images and their targets, labels ``[B]`` or shares of the classes ``[B, K]``.

    Returns:
        the optimiser steps that were taken.

    Raises:
        UserError: the training diverged.
    """
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        foreach=True,
    )
    network.train()
    taken, reduced = 0, schedule.precision == "bfloat16"
    for step, (images, targets) in zip(range(schedule.steps), batches, strict=False):
        optimizer.param_groups[0]["lr"] = schedule.learning_rate * _rate(step / schedule.steps)
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            logits = network(images)
        loss = F.cross_entropy(logits.float(), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        taken += 1
    if not all(weight.isfinite().all() for weight in network.parameters()):
        raise DivergedError(schedule)
    network.eval()
    return taken


def probabilities(network: nn.Module, images: ImageSet | Examples) -> Probabilities:
    """Softmax outputs, float32 ``[N, K]``, in the order of the images."""
    network.eval()
    blocks = Examples.of(images).blocks(BATCH)
    return outputs(lambda batch: network(batch).softmax(dim=1), blocks, len(images))


@torch.inference_mode()
def outputs(network: Callable[[Tensor], Tensor], blocks: Iterable[Images], count: int) -> Outputs:
    """Return what a network makes of images, float32 ``[count, F]``, reading a block at a time."""
    result, done = np.empty((count, 0), dtype=np.float32), 0
    for block in blocks:
        part = network(to_tensor(block)).numpy()
        if not done:
            result = np.empty((count, part.shape[1]), dtype=np.float32)
        result[done : done + len(part)] = part
        done += len(part)
    return result


def _rate(done: float) -> float:
    """Share of the peak learning rate after a share of the steps."""
    if done < _WARMUP:
        return (done + 1e-3) / _WARMUP
    return 0.5 * (1 + float(np.cos(np.pi * (done - _WARMUP) / (1 - _WARMUP))))

"""Fit a classifier for a fixed number of steps, and read its probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.classifier.augmentation import classical
from tasks.classifier.networks import build_classifier
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, Labels
from tasks.data.batches import ClassSampler, to_tensor

Probabilities = npt.NDArray[np.float32]
_BATCH = 512
_WARMUP = 0.1  # of the steps


@dataclass(frozen=True)
class Schedule:
    """What every fit of one comparison shares."""

    classifier: str
    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float


def fit(
    train: ImageSet,
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
    images, labels = to_tensor(train.images), torch.from_numpy(train.labels)
    augmentation: Callable[[Tensor], Tensor] = classical(images, flip=flip) if augment else _same
    sampler = ClassSampler(train.labels, np.random.default_rng([seed, 2]))

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            rows = torch.from_numpy(sampler.rows_of(sampler.labels(schedule.batch_size)))
            yield augmentation(images[rows]), labels[rows]

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
    return build_classifier(
        schedule.classifier, channels=channels, classes=classes, image_size=size
    )


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
    taken = 0
    for step, (images, targets) in zip(range(schedule.steps), batches, strict=False):
        optimizer.param_groups[0]["lr"] = schedule.learning_rate * _rate(step / schedule.steps)
        loss = F.cross_entropy(network(images), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        taken += 1
    if not all(weight.isfinite().all() for weight in network.parameters()):
        raise UserError(
            f"classifier {schedule.classifier}",
            f"its weights are no longer finite numbers after {taken} steps",
            "Lower retrain.learning_rate",
        )
    network.eval()
    return taken


@torch.inference_mode()
def probabilities(network: nn.Module, images: ImageSet) -> Probabilities:
    """Softmax outputs, float32 ``[N, K]``, in the order of the images."""
    network.eval()
    parts = [
        network(to_tensor(np.asarray(images.images[start : start + _BATCH]))).softmax(dim=1)
        for start in range(0, len(images), _BATCH)
    ]
    result: Probabilities = torch.cat(parts).numpy()
    return result


def stratified_folds(labels: Labels, folds: int, seed: int) -> Labels:
    """Give each row a fold, ``[N]`` in 0..folds-1: even, and every class evenly spread."""
    rng = np.random.default_rng([seed, 3])
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    dealt = np.concatenate([rng.permutation(rows) for rows in classes])
    result = np.empty(len(labels), dtype=np.int64)
    result[dealt] = np.arange(len(labels)) % folds  # the next class goes on where one ends
    return result


def _rate(done: float) -> float:
    """Share of the peak learning rate after a share of the steps."""
    if done < _WARMUP:
        return (done + 1e-3) / _WARMUP
    return 0.5 * (1 + float(np.cos(np.pi * (done - _WARMUP) / (1 - _WARMUP))))


def _same(images: Tensor) -> Tensor:
    return images

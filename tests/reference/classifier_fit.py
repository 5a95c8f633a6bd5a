"""Training a classifier, written out as one plain loop."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from tasks.classifier.augmentation import Augmentation
from tasks.classifier.networks import build_classifier
from tasks.classifier.training import Schedule
from tasks.contracts.image_set import ImageSet
from tasks.data.batches import to_tensor


def fit_slowly(
    train: ImageSet, schedule: Schedule, *, classes: int, augment: bool, flip: bool, seed: int
) -> nn.Module:
    """Weights first, then for each step: classes, rows, augmentation, one step of AdamW."""
    torch.manual_seed(seed)
    size, _, channels = train.image_shape
    network = build_classifier(
        schedule.classifier, channels=channels, classes=classes, image_size=size
    )
    network = network.to(memory_format=torch.channels_last).train()
    images = to_tensor(train.images)
    ground = torch.cat([images[:, :, 0], images[:, :, -1]], dim=2).transpose(0, 1).flatten(1)
    by_class = [np.flatnonzero(train.labels == label) for label in range(classes)]
    rng = np.random.default_rng([seed, 2])
    transform = Augmentation(ground.median(dim=1).values[:, None, None] / 2 + 0.5, flip)
    rate, decay = schedule.learning_rate, schedule.weight_decay
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=decay, foreach=True)
    for step in range(schedule.steps):
        done = step / schedule.steps
        warm, cool = (done + 1e-3) / 0.1, 0.5 * (1 + math.cos(math.pi * (done - 0.1) / 0.9))
        optimizer.param_groups[0]["lr"] = rate * (warm if done < 0.1 else cool)
        labels = rng.integers(classes, size=schedule.batch_size)
        places = rng.random(schedule.batch_size)
        pairs = zip(labels, places, strict=True)
        rows = [by_class[label][int(place * len(by_class[label]))] for label, place in pairs]
        batch = transform(images[rows]) if augment else images[rows]
        logits = network(batch.contiguous(memory_format=torch.channels_last))
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()

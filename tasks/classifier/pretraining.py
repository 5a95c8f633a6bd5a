"""Classifiers that were trained on related classes first, for every arm to start from.

Pretraining and fine-tuning is what related classes bring without a GAN, and it is strong (Dhillon
et al. 2020, arXiv:1909.02729). So it is no arm of its own: where it does better on real/val than
random weights, every arm starts from it, those with GAN images too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from safetensors.numpy import save_file

from tasks.classifier.examples import Examples
from tasks.classifier.runs import machinery
from tasks.classifier.saved import WEIGHTS, state_of
from tasks.classifier.training import Schedule, fit
from tasks.contracts.image_set import ImageSet
from tasks.contracts.kept import Kept
from tasks.contracts.machine import reduced_by
from tasks.contracts.workers import spread

Watch = Callable[[float, str], None]


def pretrained(
    related: ImageSet,
    asked: int,
    schedule: Schedule,
    *,
    flip: bool,
    seeds: Sequence[int],
    kept: Kept,
    watch: Watch,
) -> list[Path]:
    """Train classifiers to tell related classes apart, and return their weights in that order.

    They have an output for every class, asked about or not: so their last layer fits no classifier
    of the classes asked about, and every arm has a fresh one.

    Args:
        related: images of related classes.
        asked: how many classes are asked about.
        schedule: how they are trained; always with classical augmentation.
        flip: which may mirror them.
        seeds: of the classifiers.
        kept: where finished ones are, and stay while they are needed.
        watch: told the share that is done.

    Raises:
        UserError: a training diverged.
    """
    apart = related.manifest.assign(label=related.manifest["label"] + asked)
    examples = Examples.of(ImageSet(related.images, apart))
    classes = asked + len(related.class_names)
    facts = machinery() | {
        "reduced by": None if schedule.precision == "float32" else reduced_by(),
        "images": examples.identity,
        "schedule": asdict(schedule),
        "flip": flip,
    }
    keys = [
        hashlib.sha256(json.dumps(facts | {"seed": seed}, sort_keys=True).encode()).hexdigest()
        for seed in seeds
    ]
    new = [place for place, key in enumerate(keys) if kept.find(key) is None]
    jobs = ((examples, schedule, classes, flip, seeds[n], kept, keys[n]) for n in new)
    for done, _ in enumerate(spread(_train_and_keep, jobs), start=1):
        watch(done / len(new), f"pretraining {done}/{len(new)} on related classes")
    found = [kept.find(key) for key in keys]
    return [folder / WEIGHTS for folder in found if folder is not None]


def _train_and_keep(
    examples: Examples,
    schedule: Schedule,
    classes: int,
    flip: bool,
    seed: int,
    kept: Kept,
    key: str,
) -> None:
    network = fit(examples, schedule, classes=classes, augment=True, flip=flip, seed=seed)
    kept.add(key, lambda folder: save_file(state_of(network), folder / WEIGHTS))

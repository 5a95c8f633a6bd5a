"""How long each stage will take: a few real steps on this machine, times how many there will be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import joblib
import numpy as np
import pandas as pd
import torch

from tasks.classifier.arms import TrainingSet, arm_table
from tasks.classifier.examples import Examples
from tasks.classifier.exposure import train_arm
from tasks.classifier.processes import fit_in_processes
from tasks.classifier.recipes import RECIPES
from tasks.classifier.settling import SEEDS
from tasks.classifier.training import Schedule, probabilities
from tasks.contracts.image_set import ImageSet, image_id
from tasks.contracts.params.line import Params
from tasks.data.twins import LEAST_SIZE
from tasks.gan.model import build_gan
from tasks.gan.training import train_gan
from tasks.planning.choices import Shares

_ENDLESS = 1e6  # kimg
_STEPS = 6  # of a round that is timed
_START = {  # seconds that a stage takes whatever the data: imports, workers, pages
    "ingest": 2.5, "validate": 5.5, "train_gan": 12.0, "generate": 4.0, "quality_filter": 12.0,
    "merge": 4.5, "retrain": 10.0, "report": 9.0,
}  # fmt: skip
_TWINS = 0.005  # seconds to compare an image with those like it
_LENGTHS = (1.0, 0.8, 0.5)  # share of the recipes that is still tried at each doubling


@dataclass(frozen=True)
class Speed:
    """CPU seconds on one core while all of them work: a busy machine does not change them.

    Attributes:
        gan: a step of both networks, on `train_gan.batch_size` images.
        real: a step of the classifier on `retrain.batch_size` images.
        both: likewise with as many added images.
        judge: to classify one image.
    """

    gan: float
    real: float
    both: float
    judge: float


def measure(params: Params, classes: int, channels: int) -> Speed:
    """Time a few steps at the size of ``params``, on every core at once, on noise."""
    jobs = [(params, classes, channels)] * joblib.cpu_count()
    speeds = list(fit_in_processes(_measure, jobs))
    return Speed(*(float(np.mean([getattr(one, name) for one in speeds])) for name in _NAMES))


_NAMES = ("gan", "real", "both", "judge")


def _measure(params: Params, classes: int, channels: int) -> Speed:
    noise = _noise(params.ingest.image_size, channels, classes)
    tick = _STEPS * params.train_gan.batch_size / 1000
    endless = {"total_kimg": _ENDLESS, "total_minutes": None, "tick_kimg": tick}
    game = params.train_gan.model_copy(update=endless | {"grid_kimg": _ENDLESS, "processes": 1})
    loop = train_gan(build_gan(noise, game, 0), noise, game, 0)
    gan = _second(loop) / _STEPS
    examples = Examples.of(noise)
    none = examples.take(np.arange(0))
    rate = params.retrain
    ground = torch.zeros(channels, 1, 1)
    seconds = {}
    for name, added in (("real", none), ("both", examples)):
        taken = []
        for steps in (_STEPS, 3 * _STEPS):
            schedule = Schedule(rate.classifier, steps, rate.batch_size, 0.001, 0.01)
            began = time.process_time()
            fitted = train_arm(
                TrainingSet(examples, added, none),
                schedule,
                augment=RECIPES["classical"].augment(ground, rate.flip),  # type: ignore[misc]
                blend=None,
                weights=None,
                classes=classes,
                seed=0,
            )
            taken.append(time.process_time() - began)
        seconds[name] = max(1e-4, (taken[1] - taken[0]) / (2 * _STEPS))
    began = time.process_time()
    probabilities(fitted.network, noise)
    return Speed(gan, seconds["real"], seconds["both"], (time.process_time() - began) / len(noise))


def _second(loop: Iterator[object]) -> float:
    next(loop)  # builds what is built once
    began = time.process_time()
    next(loop)
    return time.process_time() - began


def _noise(size: int, channels: int, classes: int) -> ImageSet:
    labels = np.arange(max(256, 2 * classes), dtype=np.int64) % classes
    shape = (len(labels), size, size, channels)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    ids = [image_id(image) for image in images]
    columns = {"image_id": ids, "label": labels, "class_name": [f"{one}" for one in labels]}
    rest = {"origin": "real", "source": "noise", "group": ids}
    return ImageSet(images, pd.DataFrame(columns | rest))


def stage_seconds(params: Params, parts: Shares, speed: Speed, decoding: float) -> dict[str, float]:
    """Return the seconds that each stage will take.

    How long recipes have to be trained is not known before: the middle of what is usual stands
    for it, so a run may take half as long again, or less.

    Args:
        params: the whole settings.
        parts: images of each class in each split.
        speed: as `measure` found it.
        decoding: seconds for one image of the source.
    """
    cores, classes = joblib.cpu_count(), len(parts.train)
    train, val, test = sum(parts.train), sum(parts.val), sum(parts.test)
    images = train + val + test
    gans, many = len(params.train_gan.seeds), params.train_gan
    kimg = many.total_kimg or 0.0
    steps = 1000 * kimg / many.batch_size
    looks = max(1.0, kimg / many.evaluation.every_kimg)
    judged = val + 50 * classes
    gan = steps * speed.gan + looks * (0.8 + 3 * judged * speed.judge)
    pool = gans * train * 4  # the filter looks at about four times what is merged
    rules = params.quality_filter
    fits = rules.folds * rules.classifier_steps * speed.real / cores
    rounds = -(-gans // cores)
    sized = params.ingest.image_size >= LEAST_SIZE
    seconds = {
        "ingest": images * (decoding + (_TWINS if sized else 0.0)),
        "validate": images * 0.0005,
        "train_gan": rounds * (gan if many.total_minutes is None else 60 * many.total_minutes),
        "generate": pool * speed.gan / many.batch_size / 4,
        "quality_filter": fits + pool * speed.judge * (rules.folds + 2),
        "merge": pool * 0.0005,
        "retrain": _retrain(params, speed, val + test) / cores,
        "report": test * len(params.retrain.seeds) * 0.0005,
    }
    return {name: _START[name] + value for name, value in seconds.items()}


def _retrain(params: Params, speed: Speed, judged: int) -> float:
    rate = params.retrain
    recipes = len(RECIPES) if rate.recipes == "all" else len(rate.recipes)
    lengths = rate.lengths[: len(_LENGTHS)]
    tried = sum(share * steps for share, steps in zip(_LENGTHS, lengths, strict=False))
    settling = recipes * min(SEEDS, len(rate.seeds)) * tried * speed.real if len(lengths) > 1 else 0
    settled = lengths[min(1, len(lengths) - 1)]
    arms = arm_table("classical", rate.fractions).values()
    spared = params.ingest.per_class is not None  # images that arms above 100 % are made of
    run = [arm for arm in arms if arm.addition != "pseudo-labelled" and (arm.share <= 1 or spared)]
    added = sum(arm.addition is not None and arm.share == 1.0 for arm in run)
    each = settled * (added * speed.both + (len(run) - added) * speed.real)
    runs = len(run) * len(rate.seeds) + recipes * SEEDS * len(lengths)
    return settling + len(rate.seeds) * each + runs * judged * speed.judge

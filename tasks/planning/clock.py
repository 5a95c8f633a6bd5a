"""How long each stage will take: a few real steps on this machine, times what is planned."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import joblib
import numpy as np

from tasks.classifier.arms import ADDITIONS, TrainingSet
from tasks.classifier.augmentation import ground_of
from tasks.classifier.examples import Examples
from tasks.classifier.exposure import train_arm
from tasks.classifier.features import FeatureJudge
from tasks.classifier.networks import SmallCnn
from tasks.classifier.recipes import RECIPES
from tasks.classifier.settling import SEEDS
from tasks.classifier.suspects import MOST_FITTED, probe, shrunk
from tasks.classifier.training import Schedule, probabilities, untrained
from tasks.contracts.image_set import Images, ImageSet, Labels
from tasks.contracts.params.line import Params
from tasks.contracts.params.retrain import RetrainParams
from tasks.contracts.params.sections import Precision
from tasks.contracts.workers import spread
from tasks.data.mixing import asked_of_each_class
from tasks.data.tallies import is_rare
from tasks.data.twins import find_twins, is_sought
from tasks.gan.model import build_gan, device_of
from tasks.gan.sampling import sample
from tasks.gan.training import train_gan
from tasks.planning.looks import Look
from tasks.quality.evaluation import Evaluator

_TICK_STEPS, _GAN_SECONDS = 4, 4.0
_SHORT, _LONG = 2, 10  # optimiser steps; their difference leaves out what comes once
_JUDGE_STEPS, _JUDGED_PER_CLASS = 300, 50  # of train_gan
_PAIRS = 3  # of steps with either precision: the least of each is that without other work
_PROBED = 1000  # images whose labels are judged
_APART = 20  # times as many units as a step sees: what a large share spends is slow to count
_ENDLESS = 1e6  # kimg
_HASHES = 5e-8  # seconds in which those of two images are compared (docs/scale.md)
# Seconds in which a stage starts, reads, checks, draws and logs. Rough: they were chosen so that
# the built-in run comes out at its recorded times (docs/log.md), not measured one by one.
_AROUND = {
    "ingest": 5.0,
    "validate": 9.0,
    "train_gan": 12.0,
    "generate": 5.0,
    "quality_filter": 15.0,
    "merge": 7.0,
    "retrain": 8.0,
    "report": 12.0,
}


@dataclass(frozen=True)
class Costs:
    """Seconds on one core (or on the GPU, for the GAN), each of the planned size.

    Attributes:
        gan_step: one update of both networks.
        gan_evaluation: one comparison with real/val.
        made: one generated image.
        step: of the classifier by recipe, real images alone.
        step_added: likewise, with as many added images beside them.
        judged: one image classified.
        compared: one image held against those that may be its twins.
        probed: one image whose label is judged.
    """

    gan_step: float
    gan_evaluation: float
    made: float
    step: dict[str, float]
    step_added: dict[str, float]
    judged: float
    compared: float
    probed: float


@dataclass(frozen=True)
class StageTime:
    """What a stage is expected to take, in seconds; the least and the most where it varies."""

    stage: str
    seconds: float
    least: float
    most: float


def measured(images: ImageSet, params: Params) -> Costs:
    """Take a few real steps of everything, on as many cores at once as the stages use."""
    many = max(1, min(joblib.cpu_count(), len(params.train_gan.seeds)))
    if device_of(params.train_gan).type == "cuda":
        many = 1
    each = list(spread(_measured, [(images, params)] * many))

    return _mean_of(each)


def _mean_of(each: Sequence[Costs]) -> Costs:
    def by_recipe(field: str) -> dict[str, float]:
        return {
            name: float(np.mean([getattr(one, field)[name] for one in each]))
            for name in each[0].step
        }

    return Costs(
        gan_step=float(np.mean([one.gan_step for one in each])),
        gan_evaluation=float(np.mean([one.gan_evaluation for one in each])),
        made=float(np.mean([one.made for one in each])),
        step=by_recipe("step"),
        step_added=by_recipe("step_added"),
        judged=float(np.mean([one.judged for one in each])),
        compared=float(np.mean([one.compared for one in each])),
        probed=float(np.mean([one.probed for one in each])),
    )


def reduced_gain(images: ImageSet, params: RetrainParams) -> float:
    """Return how many times as fast a training step of the classifier is with bfloat16.

    Where the processor has no instructions for it, that is below 1.
    """
    (gain,) = spread(_gain, [(images, params)])  # with one thread, as in training
    return gain


def _gain(images: ImageSet, params: RetrainParams) -> float:
    (recipe, *_), classes = params.recipe_names, len(images.class_names)
    real = Examples.of(images)
    none = real.take(np.array([], dtype=np.int64))
    alone = TrainingSet(real, none, none)

    def step(precision: Precision) -> float:
        return _step(recipe, alone, params.model_copy(update={"precision": precision}), classes)

    pairs = [(step("float32"), step("bfloat16")) for _ in range(_PAIRS)]
    return min(full for full, _ in pairs) / min(reduced for _, reduced in pairs)


def _measured(images: ImageSet, params: Params) -> Costs:
    private = params.train_gan.private
    gan_params = params.train_gan.model_copy(
        update={
            "total_kimg": params.train_gan.total_kimg if private else _ENDLESS,
            "total_minutes": None,
            "tick_kimg": _TICK_STEPS * params.train_gan.batch_size / 1000,
            "grid_kimg": 2 * _ENDLESS,
            "processes": 1,
        }
    )
    other_domain = images if gan_params.network == "translator" else None  # for the time alone
    gan = build_gan(images, gan_params, 0, other_domain)
    shown, secret = images, None
    if private:  # draws a share of its images: as many a step as will be, of however few are here
        rows = np.resize(np.arange(len(images)), _APART * gan_params.batch_size)
        apart = images.manifest.iloc[rows].assign(group=[str(row) for row in range(len(rows))])
        shown, secret = ImageSet(images.images[rows], apart), (b"of nobody", "plan")
    clock = time.perf_counter if device_of(gan_params).type == "cuda" else time.process_time
    times, began = [], time.perf_counter()
    for _ in train_gan(gan, shown, gan_params, 0, other_domain=other_domain, secret=secret):
        times.append(clock())
        if len(times) > 2 and time.perf_counter() - began > _GAN_SECONDS:
            break
    gan_step = float(np.median(np.diff(times))) / _TICK_STEPS

    classes = len(images.class_names)
    network = SmallCnn(channels=images.image_shape[2], classes=classes).eval()
    judge = FeatureJudge(network)

    def make(labels: Labels) -> Images:
        return sample(gan.ema, labels, np.arange(len(labels), dtype=np.int64))

    evaluator = Evaluator(judge.features, judge.probabilities, images, images, _JUDGED_PER_CLASS)
    evaluation = _seconds(lambda: evaluator(make))
    some = np.resize(images.labels, 128)
    make(some)
    made = _seconds(lambda: make(some)) / len(some)

    real = Examples.of(images)
    schedule = _schedule(params.retrain, 1)
    classifier = untrained(schedule, images.image_shape, classes=classes, seed=0)
    probabilities(classifier, real)
    judged = _seconds(lambda: probabilities(classifier, real)) / len(real)
    none = real.take(np.array([], dtype=np.int64))
    alone, beside = (
        TrainingSet(real, none, none),
        TrainingSet(real, real, none),
    )
    recipes, twins = params.retrain.recipe_names, params.ingest.twins
    compared = _seconds(lambda: find_twins(images.images, twins, lambda share, text: None))
    return Costs(
        gan_step,
        evaluation,
        made,
        {name: _step(name, alone, params.retrain, classes) for name in recipes},
        {name: _step(name, beside, params.retrain, classes) for name in recipes},
        judged,
        compared / len(images),
        _probed(images),
    )


def _probed(images: ImageSet) -> float:
    """Seconds in which the label of one image is judged, where there are many images."""
    rows = np.arange(_PROBED) % len(images)
    features, alone = shrunk(images.images[rows]), [str(place) for place in range(_PROBED)]
    return _seconds(lambda: probe(features, images.labels[rows], alone, seed=0)) / _PROBED


def _step(name: str, chosen: TrainingSet, params: RetrainParams, classes: int) -> float:
    recipe, ground = RECIPES[name], ground_of(chosen.real)

    def train(steps: int) -> float:
        return _seconds(
            lambda: train_arm(
                chosen,
                _schedule(params, steps),
                augment=recipe.augment and recipe.augment(ground, params.flip),
                blend=recipe.blend and recipe.blend(classes),
                weights=None,
                entry=params.schedule,
                batch_norm=params.batch_norm,
                classes=classes,
                seed=0,
            )
        )

    train(1)  # what a first call loads
    return max(1e-4, (train(_LONG) - train(_SHORT)) / (_LONG - _SHORT))


def _schedule(params: RetrainParams, steps: int) -> Schedule:
    rate, decay = params.learning_rates[0], params.weight_decays[0]
    return Schedule(params.classifier, steps, params.batch_size, rate, decay, params.precision)


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()  # what else the machine does at the moment is no part of the plan
    work()
    return time.process_time() - began


def stage_times(look: Look, params: Params, costs: Costs) -> list[StageTime]:
    """Return the time of every stage, in their order; with folds, of all of them together."""
    cores = joblib.cpu_count()
    gan, seeds = params.train_gan, len(params.train_gan.seeds)
    on_gpu = device_of(gan).type == "cuda"
    rounds = seeds if on_gpu else math.ceil(seeds / min(cores // gan.processes or 1, seeds))
    if gan.total_kimg is None:
        assert gan.total_minutes is not None
        training, length = gan.total_minutes * 60, gan.total_minutes * 60 / costs.gan_step
    else:
        length = gan.total_kimg * 1000 / gan.batch_size
        training = length * costs.gan_step
    evaluations = 1 + int(length * gan.batch_size / 1000 / gan.evaluation.every_kimg)
    plain = costs.step.get("plain") or next(iter(costs.step.values()))
    ingested = look.images + look.unlabelled
    sought = is_sought(params.ingest.twins, params.ingest.image_size)
    hashes = _HASHES * ingested if sought else 0.0
    reading = look.seconds_per_image / cores**0.5  # by threads, which two cores speed up by 1.4
    images = {
        "ingest": ingested * (reading + costs.compared + hashes),
        "train_gan": rounds * (training + evaluations * costs.gan_evaluation)
        + _JUDGE_STEPS * plain,
    }
    pool = _pool(look, params) * seeds
    asked = look.expected(params.ingest)
    named = sum(min(sum(asked[split].values()), MOST_FITTED) for split in ("train", "val"))
    images["validate"] = named * costs.probed / cores**0.5  # by threads likewise
    images["generate"] = pool * costs.made
    quality = params.quality_filter
    fits = 1 + math.ceil(quality.folds / min(cores, quality.folds))  # one gives features alone
    classical = costs.step.get("classical", plain)
    images["quality_filter"] = fits * quality.classifier_steps * classical + pool * (
        (quality.folds + 2) * costs.judged + costs.made  # a discriminator takes as long as that
    )
    retrain = {doublings: _retrain(look, params, costs, doublings) for doublings in (1, 2, None)}
    times = []
    for stage, around in _AROUND.items():
        steps = [images.get(stage, 0.0)] * 3
        if stage == "retrain":
            steps = [retrain[doublings] for doublings in (2, 1, None)]
        folds = params.ingest.folds or 1
        times.append(StageTime(stage, *(folds * (around + seconds) for seconds in steps)))
    return times


def _pool(look: Look, params: Params) -> float:
    """Return how many images each GAN makes."""
    if params.generate.per_class != "auto":
        return float(params.generate.per_class * len(look.counts))
    real = dict(enumerate(look.expected(params.ingest)["train"].values()))
    asked = asked_of_each_class(params.merge, real, params.seed)
    return params.generate.per_needed * sum(asked.values())


def _retrain(look: Look, params: Params, costs: Costs, doublings: int | None) -> float:
    """Return the seconds of settling and of every arm, where steps are doubled so many times.

    The last doubling gains nothing, so arms take the steps before it. From the third length on
    half of the recipes are out of the race. None doubles to the end, with every recipe.
    """
    own, cores = params.retrain, joblib.cpu_count()
    expected = look.expected(params.ingest)
    judged = sum(sum(expected[split].values()) for split in ("val", "test"))
    lengths = own.lengths if doublings is None else own.lengths[: doublings + 1]
    chosen = lengths[-1] if doublings is None else lengths[max(0, len(lengths) - 2)]
    every = sum(costs.step.values())
    settling = sum(
        length * every * (1.0 if number < 2 or doublings is None else 0.5)
        for number, length in enumerate(lengths)
    )
    trials = 0 if len(lengths) == len(costs.step) == 1 else min(SEEDS, len(own.seeds))
    alone = every / len(costs.step)
    beside = sum(costs.step_added.values()) / len(costs.step_added)
    additions = len(ADDITIONS) - (0 if look.unlabelled else 1)  # pseudo-labelled
    additions -= not is_rare(list(expected["train"].values())).any()  # pasted
    additions -= params.quality_filter.labels == "hard"  # distilled
    additions += 2 if look.other_domain else -1  # beside the real images, before them and adapted
    others = 2 + sum(share < 1 or params.ingest.per_class is not None for share in own.fractions)
    arms = len(own.seeds) * (
        chosen * (additions * beside + others * alone)
        + (additions + others) * judged * costs.judged
    )
    pretraining = 0.0
    if look.related and own.weights is None:  # all is settled twice, after it and without
        pretraining = own.lengths[-1] * costs.step.get("classical", alone) * len(own.seeds)
        pretraining += trials * settling
    return float((trials * settling + pretraining + arms) / cores)

"""One job of the quality bench: train a GAN on a task, judge it on real images that it never saw.

Nothing is chosen by what is measured here: the generator that is judged is the last one.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from bench.datasets import TASKS, Cut, ingest_params, load_cut
from bench.ledger import Row
from tasks.classifier.features import FeatureJudge, train_judge
from tasks.classifier.scores import Predictions, scores_of
from tasks.classifier.training import Schedule, fit, probabilities
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images, ImageSet, Labels, concatenate, image_id
from tasks.contracts.params.line import Params
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.data.mixing import spread_evenly
from tasks.gan.model import Gan, build_gan
from tasks.gan.sampling import sample
from tasks.gan.state import Tick
from tasks.gan.training import train_gan
from tasks.quality.evaluation import Evaluator

POOL = 100  # synthetic images of each class that the classifier without real ones gets, at least
JUDGED = 50  # fakes of each class in one evaluation
JUDGE_STEPS = 600
_ROOMS = ("contracts", "data", "gan", "quality", "classifier")
CODE = tuple(f"tasks/{room}/**/*.py" for room in _ROOMS)  # that a row rests on


@dataclass(frozen=True)
class Job:
    """A GAN of one seed on one task; or, without a GAN, the classifiers it has to help.

    Attributes:
        task: name in `TASKS`.
        contestant: what it is called in tables.
        gan: its settings, None for real images alone.
        seed: of the GAN's training; classifiers have seeds of their own.
        classifier_seeds: how many classifiers are trained on each set.
        params: whose ``ingest``, ``retrain`` and ``seed`` hold.
        images: folder of mnist-png and cifar10-jpg.
        scratch: folder of this bench.
        looks: evaluations along a training.
    """

    task: str
    contestant: str
    gan: TrainGanParams | None
    seed: int
    classifier_seeds: int
    params: Params
    images: Path
    scratch: Path
    looks: int

    @property
    def key(self) -> str:
        """Name of all that decides the result but the code."""
        facts = {
            "ingest": ingest_params(self.task, self.params).model_dump(mode="json"),
            "gan": self.gan.model_dump(mode="json", exclude={"seeds"}) if self.gan else None,
            "retrain": self.params.retrain.model_dump(mode="json", exclude={"seeds"}),
            "seeds": [self.params.seed, self.seed, self.classifier_seeds],
            "sizes": [self.looks, POOL, JUDGED, JUDGE_STEPS, TASKS[self.task].flip],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def names(self) -> Row:
        """Task and contestant, as tables call them."""
        return {"contestant": self.contestant, "task": self.task}

    def do(self) -> Row:
        """Do it: see `run_job`."""
        return run_job(self)


def run_job(job: Job, beside: Callable[[Gan, Cut, ImageSet], Row] | None = None) -> Row:
    """Do one job on one thread.

    Args:
        job: what to do.
        beside: tells more of a GAN that was trained and of the images it made.

    Returns:
        task, contestant, seed; with a GAN its ``path`` (evaluations along training), ``final``
        (the last of them), ``images_per_second`` and ``seconds`` of training alone; then balanced
        accuracies on dev, one a classifier seed: ``real`` (with classical augmentation), or
        ``synthetic`` and ``real_synthetic``. A GAN that cannot be trained has ``failed`` instead.
    """
    torch.set_num_threads(1)
    cut = load_cut(job.task, job.params, job.images, job.scratch)
    row: Row = {"task": job.task, "contestant": job.contestant, "seed": job.seed}
    if job.gan is None:
        return row | {"real": accuracies(job, cut, cut.train, augment=True)}
    try:
        gan, trained = train(job, job.gan, cut)
    except UserError as error:
        return row | {"failed": str(error)}
    names = cut.train.class_names
    share = spread_evenly(len(cut.train), range(len(names)), job.seed)
    pool = _pool(gan, names, max(POOL, *share.values()))
    places = pd.Series(pool.labels).groupby(pool.labels).cumcount().to_numpy()
    joined = pool.take(places < np.array([share[label] for label in pool.labels]))
    return row | {
        **trained,
        "synthetic": accuracies(job, cut, pool, augment=False),
        "real_synthetic": accuracies(job, cut, concatenate([cut.train, joined]), augment=True),
        **({} if beside is None else beside(gan, cut, pool)),
    }


def train(job: Job, params: TrainGanParams, cut: Cut) -> tuple[Gan, Row]:
    """Train, judging from outside at ``job.looks`` ticks; the clock stands still meanwhile.

    Returns:
        the networks, and ``path``, ``final``, ``seconds``, ``images_per_second`` and, of a private
        training, its ``guarantee``.
    """
    if params.total_kimg is None:
        raise ValueError("a budget in images is needed to compare by images")
    every = {"tick_kimg": params.total_kimg / job.looks, "grid_kimg": 2 * params.total_kimg}
    params = params.model_copy(update=every)
    judge = judge_of(job.task, job.params, job.images, job.scratch)
    evaluate = Evaluator(judge.features, judge.probabilities, cut.train, cut.val, per_class=JUDGED)
    gan = build_gan(cut.train, params, job.seed)
    path, seconds, promised, since = [], 0.0, None, time.perf_counter()
    secret = (b"a bench keeps no secret", f"{job.seed}") if params.private else None
    for news in train_gan(gan, cut.train, params, job.seed, secret=secret):
        seconds += time.perf_counter() - since
        if isinstance(news, Tick):
            overall = evaluate(lambda labels: _sample(gan, labels)).overall
            path.append({"kimg": news.kimg, "seconds": seconds, **overall})
        elif news.guarantee is not None:
            promised = asdict(news.guarantee)
        since = time.perf_counter()
    final = path[-1]
    if not all(math.isfinite(value) for value in final.values()):
        raise UserError(job.contestant, "an evaluation is no finite number", "See the code")
    speed = final["kimg"] * 1000 / seconds
    row: Row = {"path": path, "final": final, "seconds": seconds, "images_per_second": speed}
    return gan, row if promised is None else row | {"guarantee": promised}


def _sample(gan: Gan, labels: Labels) -> Images:
    return sample(gan.ema, labels, np.arange(len(labels), dtype=np.int64))


@lru_cache(maxsize=4)
def judge_of(task: str, params: Params, images: Path, scratch: Path) -> FeatureJudge:
    """The task's judge: it saw every image but val and test, so it is no worse for few images."""
    return train_judge(load_cut(task, params, images, scratch).judge, JUDGE_STEPS, seed=0)


def _pool(gan: Gan, names: tuple[str, ...], per_class: int) -> ImageSet:
    labels = np.repeat(np.arange(len(names), dtype=np.int64), per_class)
    images = sample(gan.ema, labels, np.arange(len(labels), dtype=np.int64) + 2**40)
    ids = [image_id(image) for image in images]
    columns = {"image_id": ids, "label": labels, "class_name": [names[label] for label in labels]}
    rest = {"origin": "synthetic", "source": "bench", "group": ids}
    return ImageSet(images, pd.DataFrame(columns | rest))


def accuracies(job: Job, cut: Cut, train: ImageSet, *, augment: bool) -> list[float]:
    """Balanced accuracy on dev of the project's classifier, one for each classifier seed."""
    wanted = job.params.retrain
    schedule = Schedule(
        wanted.classifier,
        wanted.steps,
        wanted.batch_size,
        wanted.learning_rates[0],
        wanted.weight_decays[0],
    )
    scores = []
    for seed in range(job.classifier_seeds):
        network = fit(
            train,
            schedule,
            classes=len(cut.train.class_names),
            augment=augment,
            flip=TASKS[job.task].flip,
            seed=seed,
        )
        labels, said = cut.dev.labels, probabilities(network, cut.dev)
        scored = scores_of(labels, Predictions.of(said, labels), said.shape[1])
        scores.append(scored["balanced_accuracy"])
    return scores

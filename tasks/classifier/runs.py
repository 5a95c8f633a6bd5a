"""Runs of the comparison, in worker processes: an arm and a seed each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import joblib
import numpy as np
import torch

from tasks.classifier.arms import FROM_GAN, Arm, Stock, gan_seed_of, training_set
from tasks.classifier.augmentation import classical
from tasks.classifier.exposure import train_arm
from tasks.classifier.saved import State, state_of
from tasks.classifier.scores import scores_of
from tasks.classifier.training import Probabilities, Schedule, probabilities
from tasks.contracts.arms import CLASSICAL, FILTERED
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.stage import die_with_parent
from tasks.data.batches import to_tensor

_SETTLING_SEEDS = 2


@dataclass(frozen=True)
class Comparison:
    """What all runs share.

    Attributes:
        stock: the images to train on.
        arms: the rows of the table that are run, by name.
        schedule: of every run alike.
        flip: whether augmentation mirrors images.
        weights: a file to start from; None starts from scratch.
        seed: the root of every draw, beside the classifier's.
    """

    stock: Stock
    arms: Mapping[str, Arm]
    schedule: Schedule
    flip: bool
    weights: Path | None
    seed: int


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        arm: its name.
        seed: of the classifier.
        turn: the GAN whose turn it is with this seed, in every arm.
        gan_seed: that GAN where the run sees its images, else None.
    """

    arm: str
    seed: int
    turn: int
    gan_seed: int | None


@dataclass(frozen=True)
class Outcome:
    """What came of a run.

    Attributes:
        steps: optimiser steps taken.
        real_seen: real images shown, repeats counted.
        added_seen: added images shown, likewise.
        real: distinct places in the real part of its training set.
        added: likewise of the added part.
        said: probabilities ``[N, K]`` of each set it was judged on, by name.
        state: its weights, of the arm `FILTERED` alone.
    """

    steps: int
    real_seen: int
    added_seen: int
    real: int
    added: int
    said: dict[str, Probabilities]
    state: State | None


def jobs_of(comparison: Comparison, seeds: Sequence[int]) -> list[Job]:
    """Return every arm with every seed, seeds nested in GANs."""
    gans = comparison.stock.gan_seeds
    return [
        Job(name, seed, turn, turn if arm.added in FROM_GAN else None)
        for name, arm in comparison.arms.items()
        for seed, turn in ((seed, gan_seed_of(run, gans)) for run, seed in enumerate(seeds))
    ]


def run_all(
    comparison: Comparison, jobs: Sequence[Job], judged: Mapping[str, ImageSet]
) -> Iterator[tuple[Job, Outcome]]:
    """Run every job on all cores; yield them in order, as they end.

    Args:
        comparison: what they share.
        jobs: what differs.
        judged: the sets to judge on, by name.

    Raises:
        UserError: a training diverged.
    """
    tasks = [joblib.delayed(_run)(comparison, job, judged) for job in jobs]
    parallel = joblib.Parallel(n_jobs=joblib.cpu_count(), return_as="generator")
    yield from zip(jobs, parallel(tasks), strict=True)


def settle(
    comparison: Comparison,
    val: ImageSet,
    *,
    learning_rates: Sequence[float],
    weight_decays: Sequence[float],
    seeds: Sequence[int],
    watch: Callable[[float, str], None],
) -> tuple[Comparison, list[dict[str, float | bool | None]]]:
    """Settle rate and decay by `CLASSICAL` on real/val: balanced accuracy, ties to the first.

    The first two seeds try each pair; one whose training diverges is out.

    Args:
        comparison: what runs share.
        val: the set to choose on.
        learning_rates: to try.
        weight_decays: to try with each.
        seeds: of the classifiers.
        watch: told the share of runs that are done.

    Returns:
        the comparison with the chosen pair, and a row a pair tried, none where there is but one.

    Raises:
        UserError: every pair diverges.
    """
    pairs = list(product(learning_rates, weight_decays))
    tried = [
        replace(
            comparison,
            arms={CLASSICAL: comparison.arms[CLASSICAL]},
            schedule=replace(comparison.schedule, learning_rate=rate, weight_decay=decay),
        )
        for rate, decay in pairs
    ]
    if len(pairs) == 1:
        return replace(comparison, schedule=tried[0].schedule), []
    tasks = [
        joblib.delayed(_try)(one, job, val)
        for one in tried
        for job in jobs_of(one, seeds[:_SETTLING_SEEDS])
    ]
    scores = []
    for score in joblib.Parallel(n_jobs=joblib.cpu_count(), return_as="generator")(tasks):
        scores.append(score)
        watch(len(scores) / len(tasks), "settling learning rate and weight decay")
    means = np.array(scores).reshape(len(pairs), -1).mean(axis=1)
    if np.isnan(means).all():
        raise UserError(
            f"retrain.learning_rate: {list(learning_rates)}",
            "the training diverges with each of them",
            "Give lower ones",
        )
    best = int(np.nanargmax(means))
    rows: list[dict[str, float | bool | None]] = [
        {
            "learning_rate": rate,
            "weight_decay": decay,
            "val_balanced_accuracy": None if np.isnan(mean) else round(float(mean), 6),
            "chosen": place == best,
        }
        for place, ((rate, decay), mean) in enumerate(zip(pairs, means, strict=True))
    ]
    return replace(comparison, schedule=tried[best].schedule), rows


def _try(comparison: Comparison, job: Job, val: ImageSet) -> float:
    try:
        said = _run(comparison, job, {"val": val}).said["val"]
    except UserError:  # diverged
        return float("nan")
    return scores_of(val.labels, said)["balanced_accuracy"]


def _run(comparison: Comparison, job: Job, judged: Mapping[str, ImageSet]) -> Outcome:
    """Train and judge one classifier, in a worker."""
    die_with_parent()
    torch.set_num_threads(1)  # the same bytes whatever the number of cores
    arm, stock = comparison.arms[job.arm], comparison.stock
    seed = comparison.seed * 1_000_003 + job.seed
    chosen = training_set(arm, stock, gan_seed=job.turn, seed=seed)
    fitted = train_arm(
        chosen,
        arm,
        comparison.schedule,
        augmentation=classical(to_tensor(stock.real.images), flip=comparison.flip),
        weights=comparison.weights,
        classes=len(stock.real.class_names),
        seed=seed,
    )
    return Outcome(
        steps=fitted.steps,
        real_seen=fitted.real_seen,
        added_seen=fitted.added_seen,
        real=len(chosen.real),
        added=len(chosen.added),
        said={name: probabilities(fitted.network, images) for name, images in judged.items()},
        state=state_of(fitted.network) if job.arm == FILTERED else None,
    )

"""The training of one GAN: a generator of ticks that logs nothing itself."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from tasks.contracts.errors import UserError
from tasks.contracts.evaluation import Evaluate, GanEvaluation
from tasks.contracts.image_set import Images, ImageSet, Labels
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.distributed import SOLO, Group
from tasks.gan.health import collapsed_classes, divergence, is_better
from tasks.gan.model import Gan
from tasks.gan.run_state import Run, due
from tasks.gan.sampling import sample, sample_grid
from tasks.gan.state import Snapshot, StateFolder
from tasks.gan.ticks import Outcome, Tick

_JUDGED = 2**62  # where the latent seeds of images that are made to be judged begin


def train_gan(
    gan: Gan,
    train: ImageSet,
    params: TrainGanParams,
    seed: int,
    *,
    unlabelled: ImageSet | None = None,
    evaluate: Evaluate | None = None,
    states: StateFolder | None = None,
    group: Group = SOLO,
) -> Iterator[Tick | Outcome]:
    """Train `gan` in place, yielding a `Tick` every ``tick_kimg`` and at the end the `Outcome`.

    The budget is ``total_kimg``, or ``total_minutes`` by the clock. Each fake is paired with a
    real of its class. In the end `gan.ema` and `gan.discriminator` are those of the best
    evaluation by ``evaluation.keep``, or the last where nothing was evaluated.

    Args:
        gan: fresh networks of `build_gan`.
        train: labelled images.
        params: the section; its seeds are not read.
        seed: of every draw.
        unlabelled: images for the unconditional part of the discriminator.
        evaluate: judges images of the averaged generator, every ``evaluation.every_kimg``; of
            several processes, only the first has one.
        states: where the state is kept; a run found there goes on, and its ticks so far are
            yielded again first.
        group: the processes that share a batch.

    Raises:
        UserError: the run diverged more than ``health.max_rollbacks`` times.
    """
    run = Run(gan, train, unlabelled, params, seed, group)
    found = states.load() if states is not None else None
    if group.rank > 0:
        states = None  # the first process writes for all
    if found is not None:
        run.restore(found)
        yield from run.ticks
    good = run.position()
    while not run.ended:
        before, since = run.kimg, time.perf_counter()
        curves = run.train_tick()
        speed = (run.kimg - before) * 1000 / (time.perf_counter() - since)
        reason = divergence(curves, params.health)
        if reason is not None:
            _roll_back(run, good, reason)
            continue
        grid = None
        if run.ended or due(before, run.kimg, params.grid_kimg):
            grid = sample_grid(gan.ema, len(train.class_names))
        evaluation = None
        if run.ended or due(before, run.kimg, params.evaluation.every_kimg):
            evaluation = _judge(run, evaluate)
            run.hopeless = bool(group.agree(run.hopeless))
        tick = Tick(run.kimg, run.done, curves, speed, grid, evaluation)
        run.ticks.append(tick)
        good = run.position()
        if states is not None and (run.ended or due(before, run.kimg, params.state_kimg)):
            states.save(run.snapshot(good), run.steps)
        yield tick
    run.settle()
    yield Outcome(
        kept_kimg=run.best_kimg,
        evaluation=run.best,
        collapsed=() if run.best is None else collapsed_classes(run.best, params.health),
        rollbacks=run.watch.rollbacks,
        stopped_early=run.hopeless,
        events=tuple(run.watch.events),
    )


def _roll_back(run: Run, good: Snapshot, reason: str) -> None:
    kimg, last = run.kimg, run.params.total_minutes is not None and run.ended
    if last or not run.watch.roll_back(kimg, reason):
        raise UserError(
            "train_gan",
            f"the GAN diverged within {kimg:g} kimg ({reason}), after {run.watch.rollbacks} "
            "rollbacks to gentler settings",
            "Lower train_gan.learning_rate or raise train_gan.penalties.r1 and r2",
        )
    run.go_back(good)
    run.soften(run.watch.rollbacks)


def _judge(run: Run, evaluate: Evaluate | None) -> GanEvaluation | None:
    """Evaluate the averaged generator, keep it if it is the best, see whether there is hope."""
    if evaluate is None:
        return None

    def make(labels: Labels) -> Images:
        return sample(run.gan.ema, labels, _JUDGED + np.arange(len(labels), dtype=np.int64))

    evaluation = evaluate(make)
    if is_better(run.params.evaluation.keep, evaluation, run.best):
        run.keep(evaluation)
    run.hopeless = run.watch.evaluated(run.kimg, evaluation)
    return evaluation

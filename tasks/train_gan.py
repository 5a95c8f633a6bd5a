"""Stage 3, train_gan: one class-conditional GAN per seed, on real/train alone."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing.managers import SyncManager
from pathlib import Path

import joblib
import numpy as np
import torch

from tasks.adapters.tracking.gan import gan_run
from tasks.classifier.features import inception_judge, train_judge
from tasks.classifier.pseudo_labels import pseudo_label, pseudo_labelled_set
from tasks.contracts.errors import UserError
from tasks.contracts.gate import require_passed
from tasks.contracts.image_set import ImageSet, concatenate
from tasks.contracts.outputs import Output
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.contracts.progress import progress
from tasks.contracts.stage import stage_main
from tasks.data.pictures import to_picture
from tasks.gan.checkpoint import checkpoint_hash, load_config, load_generator
from tasks.gan.device import device_of
from tasks.gan.feasibility import check_training_set
from tasks.gan.history import History
from tasks.gan.pictures import PICTURES, offered
from tasks.gan.state import StateFolder
from tasks.gan.ticks import Outcome
from tasks.gan.worker import Job, Message, state_key, states_of, train_one
from tasks.quality.evaluation import Evaluator

_STATES = Path(".ganlift/train_gan")  # outside the outputs, which DVC removes before a run
_JUDGE_STEPS = 300
_JUDGED_PER_CLASS = 50
_MEMBERS = 4  # of the ensemble that pseudo-labels


def run(
    *,
    train: Path,
    val: Path,
    unlabelled: Path,
    gate: Path,
    dataset: str,
    out: Output,
    pseudo: Output,
    metrics: Output,
    curves: Output,
    evaluations: Output,
    grids: Output,
    params: TrainGanParams,
    seed: int,
) -> None:
    """Train one GAN per seed in worker processes; keep checkpoints, curves and evaluations.

    A run that was killed goes on from its last saved state, which lies in ``.ganlift``.
    """
    require_passed(gate)
    labelled, held_out, loose = (ImageSet.load(path) for path in (train, val, unlabelled))
    check_training_set(labelled, params)
    told = History()
    settings = params.model_dump(mode="json", exclude={"seeds"}) | {"seed": seed}
    with ExitStack() as stack:
        watch = stack.enter_context(progress("train_gan"))
        sure = _pseudo_labelled(labelled, held_out, loose, params, seed, watch)
        sure.save(pseudo)
        jobs = _jobs(labelled, held_out, sure, loose, out, params, seed)
        runs = {
            gan_seed: stack.enter_context(
                gan_run(dataset=dataset, gan_seed=gan_seed, params=settings, train=train)
            )
            for gan_seed in params.seeds
        }
        done = dict.fromkeys(params.seeds, 0.0)
        for message in _train_all(jobs):
            gan_seed, news = message.gan_seed, message.news
            if isinstance(news, Outcome):
                told.outcome(gan_seed, news, len(sure))
                runs[gan_seed].health(news.events, news.collapsed)
                done[gan_seed] = 1.0
                continue
            grid = None
            if news.grid is not None:
                grid = grids / str(gan_seed) / f"{round(news.kimg):06d}.png"
                grid.parent.mkdir(parents=True, exist_ok=True)
                to_picture(news.grid).save(grid)
            row = told.tick(gan_seed, news)
            runs[gan_seed].tick(row | {"images_per_second": news.images_per_second}, grid)
            if news.evaluation is not None:
                runs[gan_seed].evaluated(news.kimg, news.evaluation)
            done[gan_seed] = news.done
            text = f"GAN {gan_seed}: {news.kimg:.0f} kimg, {news.images_per_second:.0f} images/s"
            watch(min(1.0, sum(done.values()) / len(done)), text)
        for gan_seed in params.seeds:
            digest = checkpoint_hash(out / str(gan_seed))
            told.last[str(gan_seed)]["checkpoint"] = digest
            drawn = _draw(out / str(gan_seed), grids / str(gan_seed))
            runs[gan_seed].finish(out / str(gan_seed), digest, drawn)
    told.save(metrics, curves, evaluations)
    _forget(jobs)


def _pseudo_labelled(
    labelled: ImageSet,
    held_out: ImageSet,
    loose: ImageSet,
    params: TrainGanParams,
    seed: int,
    watch: Callable[[float, str], None],
) -> ImageSet:
    """Return the unlabelled images whose label an ensemble is sure of; perhaps none."""
    if params.unlabelled == "none" or not len(loose):
        return loose.take([])
    result = pseudo_label(
        labelled,
        held_out,
        loose,
        steps=_JUDGE_STEPS,
        members=_MEMBERS,
        seed=seed * 1000 + 700,
        watch=watch,
    )
    print(result.told())
    return pseudo_labelled_set(loose, result, labelled.class_names)


def _jobs(
    labelled: ImageSet,
    held_out: ImageSet,
    sure: ImageSet,
    loose: ImageSet,
    out: Path,
    params: TrainGanParams,
    seed: int,
) -> list[Job]:
    """Settle what each GAN is trained on, and by whom it is judged."""
    judge = train_judge(labelled, _JUDGE_STEPS, seed * 1000 + 600)
    in_domain = params.evaluation.features == "in_domain"
    features = judge.features if in_domain else inception_judge().features
    train = concatenate([labelled, sure]) if len(sure) else labelled
    rest = loose.take([])
    if params.unlabelled == "pseudo_label+unconditional":
        rest = loose.take(~loose.manifest["image_id"].isin(sure.manifest["image_id"]).to_numpy())
    seen = np.concatenate([train.images, rest.images])
    evaluate = Evaluator(features, judge.probabilities, labelled, held_out, _JUDGED_PER_CLASS, seen)
    states = states_of(_STATES, state_key([train, held_out, rest], params, seed))
    jobs = []
    for gan_seed in params.seeds:
        own = str(gan_seed)
        jobs.append(Job(train, rest, params, gan_seed, seed, out / own, states / own, evaluate))
    return jobs


def _train_all(jobs: list[Job]) -> Iterator[Message]:
    """Train every seed, as many at once as there are cores, one thread each.

    One thread, because sums split over more threads round differently: the bytes of a
    checkpoint must not depend on how many cores there are. On a GPU one after the other. When one
    fails, the others leave at their next tick.

    Raises:
        UserError: a GAN could not be trained, or its process was killed.
    """
    context = multiprocessing.get_context("forkserver")  # whose imports every worker is spared
    context.set_forkserver_preload([name for name in sys.modules if name.startswith("tasks.")])
    many = joblib.cpu_count() // jobs[0].params.processes
    gpu = device_of(jobs[0].params).type == "cuda"
    workers = 1 if gpu else max(1, min(many, len(jobs)))
    manager = SyncManager(ctx=context)
    manager.start(initializer=_end_with_stage)
    with (
        manager,
        ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool,
    ):
        messages, stop = manager.Queue(), manager.Event()
        futures = [pool.submit(train_one, job, messages, stop) for job in jobs]
        try:
            yield from _until_done(messages, futures)
        except BrokenProcessPool:
            raise UserError(
                "train_gan",
                "a training process was killed, most likely for want of memory",
                "Lower train_gan.width or batch_size, then run again: it goes on from its state",
            ) from None
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _until_done(messages: queue.Queue[Message], futures: list[Future[None]]) -> Iterator[Message]:
    """Yield messages as they come until every future is done; raise what the first to fail did."""
    while True:
        finished = all(future.done() for future in futures)
        for future in futures:
            if future.done() and (error := future.exception()) is not None:
                raise error
        try:
            yield messages.get(timeout=0.2)
        except queue.Empty:
            if finished:
                return


def _start_worker() -> None:
    _end_with_stage()
    torch.set_num_threads(1)


def _end_with_stage() -> None:
    """End this process when the stage ends, even by SIGKILL; its parent is the fork server."""
    stage = multiprocessing.parent_process()
    assert stage is not None

    def wait() -> None:
        stage.join()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _forget(jobs: list[Job]) -> None:
    """Remove the states of runs that are finished."""
    for job in jobs:
        StateFolder(job.states).clear()


def _draw(checkpoint: Path, folder: Path) -> list[Path]:
    """Draw what the kept checkpoint offers beside the grids that were drawn on the way."""
    generator, classes = load_generator(checkpoint), len(load_config(checkpoint)["class_names"])
    paths = []
    for kind in offered(generator):
        if kind != "classes":
            paths.append(folder / f"{kind}.png")
            to_picture(PICTURES[kind](generator, classes)).save(paths[-1])
    return paths


if __name__ == "__main__":
    stage_main(run)

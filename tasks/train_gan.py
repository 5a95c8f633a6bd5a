"""Stage 3, train_gan: one class-conditional GAN per seed, on real/train alone."""

from __future__ import annotations

import json
import multiprocessing
import queue
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import torch
from PIL import Image

from tasks.adapters.tracking import gan_run
from tasks.contracts.image_set import Images, ImageSet
from tasks.contracts.params import TrainGanParams
from tasks.contracts.progress import progress
from tasks.contracts.stage import die_with_parent, stage_main
from tasks.gan.checkpoint import checkpoint_hash, save_checkpoint
from tasks.gan.feasibility import check_training_set
from tasks.gan.training import Tick, build_gan, train_gan

CURVES = ("loss_g", "loss_d", "logit_real", "logit_fake", "grad_norm_g", "grad_norm_d")


@dataclass(frozen=True)
class _Message:
    """What a worker tells the stage: a tick of one seed's GAN."""

    gan_seed: int
    tick: Tick


def run(
    *,
    train: Path,
    gate: Path,
    dataset: str,
    out: Path,
    metrics: Path,
    curves: Path,
    grids: Path,
    params: TrainGanParams,
    seed: int,
) -> None:
    """Train one GAN per seed in worker processes and keep their checkpoints and curves."""
    del gate  # its presence is the permission: validate wrote it
    images = ImageSet.load(train)
    check_training_set(images, params)
    rows: list[dict[str, float]] = []
    last: dict[str, dict[str, Any]] = {}
    settings = params.model_dump(mode="json", exclude={"seeds"}) | {"seed": seed}
    with ExitStack() as stack:
        watch = stack.enter_context(progress("train_gan"))
        runs = {
            gan_seed: stack.enter_context(
                gan_run(dataset=dataset, gan_seed=gan_seed, params=settings, train=train)
            )
            for gan_seed in params.seeds
        }
        done = dict.fromkeys(params.seeds, 0.0)
        for message in _train_all(train, out, params, seed):
            gan_seed, tick = message.gan_seed, message.tick
            row = {"kimg": round(tick.kimg, 6)} | tick.curves
            rows.append({"gan_seed": gan_seed} | row)
            last[str(gan_seed)] = row
            grid = None
            if tick.grid is not None:
                grid = grids / str(gan_seed) / f"{round(tick.kimg):06d}.png"
                _save_picture(grid, tick.grid)
            runs[gan_seed].tick(row | {"images_per_second": tick.images_per_second}, grid)
            done[gan_seed] = tick.kimg / params.total_kimg
            text = f"GAN {gan_seed}: {tick.kimg:.0f} kimg, {tick.images_per_second:.0f} images/s"
            watch(min(1.0, sum(done.values()) / len(done)), text)
        for gan_seed in params.seeds:
            digest = checkpoint_hash(out / str(gan_seed))
            last[str(gan_seed)]["checkpoint"] = digest
            runs[gan_seed].finish(out / str(gan_seed), digest)
    table = pd.DataFrame(rows).sort_values(["gan_seed", "kimg"])
    curves.parent.mkdir(parents=True, exist_ok=True)
    table[["gan_seed", "kimg", *CURVES]].to_csv(curves, index=False, float_format="%.6g")
    metrics.parent.mkdir(parents=True, exist_ok=True)
    metrics.write_text(json.dumps(last, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _train_all(train: Path, out: Path, params: TrainGanParams, seed: int) -> Iterator[_Message]:
    """Train every seed, as many at once as there are cores, one thread each.

    One thread, because sums split over more threads round differently: the bytes of a
    checkpoint must not depend on how many cores there are.
    """
    context = multiprocessing.get_context("spawn")
    workers = min(joblib.cpu_count(), len(params.seeds))
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker) as pool,
    ):
        messages = manager.Queue()
        futures = [
            pool.submit(_train_one, train, out / str(gan_seed), params, gan_seed, seed, messages)
            for gan_seed in params.seeds
        ]
        yield from _until_done(messages, futures)
        for future in futures:
            future.result()


def _until_done(messages: queue.Queue[_Message], futures: list[Future[None]]) -> Iterator[_Message]:
    """Yield messages as they come, until every future is done and the queue is empty."""
    while True:
        finished = all(future.done() for future in futures)
        try:
            yield messages.get(timeout=0.2)
        except queue.Empty:
            if finished or any(future.done() and future.exception() for future in futures):
                return


def _start_worker() -> None:
    die_with_parent()
    torch.set_num_threads(1)


def _train_one(
    train: Path,
    folder: Path,
    params: TrainGanParams,
    gan_seed: int,
    seed: int,
    messages: queue.Queue[_Message],
) -> None:
    """Train one GAN (in a worker) and save its checkpoint."""
    images = ImageSet.load(train)
    own_seed = seed * 1_000_003 + gan_seed
    gan = build_gan(images, params, own_seed)
    for tick in train_gan(gan, images, params, own_seed):
        messages.put(_Message(gan_seed, tick))
    save_checkpoint(folder, gan, images, params, gan_seed)


def _save_picture(path: Path, picture: Images) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture).save(path)


if __name__ == "__main__":
    stage_main(run)

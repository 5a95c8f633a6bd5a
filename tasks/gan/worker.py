"""One GAN from data to checkpoint, in a process of its own or in several that share it."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tasks.contracts.evaluation import Evaluate
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.checkpoint import save_checkpoint
from tasks.gan.device import device_of
from tasks.gan.distributed import SOLO, Group, launch
from tasks.gan.model import build_gan
from tasks.gan.state import StateFolder
from tasks.gan.ticks import Outcome, Tick
from tasks.gan.training import train_gan

_WITHOUT_A_SAY = {"seeds", "state_kimg"}
_STATES_KEPT = 4  # of runs that were never finished


@dataclass(frozen=True)
class Job:
    """What one worker trains.

    Attributes:
        train: labelled images, pseudo-labelled ones among them.
        unlabelled: images for the unconditional part, perhaps none.
        params: the section.
        gan_seed: which of its seeds.
        seed: the root seed.
        out: the folder of the checkpoint.
        states: the folder of the state to resume from.
        evaluate: judges the images.
    """

    train: ImageSet
    unlabelled: ImageSet
    params: TrainGanParams
    gan_seed: int
    seed: int
    out: Path
    states: Path
    evaluate: Evaluate


@dataclass(frozen=True)
class Message:
    """What a worker tells: a tick of one seed's GAN, or how it ended."""

    gan_seed: int
    news: Tick | Outcome


def train_one(job: Job, messages: queue.Queue[Message], stop: Any) -> None:
    """Train one GAN and save its checkpoint; leave at the next tick once ``stop`` is set."""
    if job.params.processes == 1:
        _train(job, messages, stop, SOLO)
    else:
        device = device_of(job.params).type
        launch(_train_share, (job, messages, stop), job.params.processes, device)


def _train_share(group: Group, job: Job, messages: queue.Queue[Message], stop: Any) -> None:
    torch.set_num_threads(1)
    _train(job, messages, stop, group)


def _train(job: Job, messages: queue.Queue[Message], stop: Any, group: Group) -> None:
    own_seed = job.seed * 1_000_003 + job.gan_seed
    gan = build_gan(job.train, job.params, own_seed)
    first = group.rank == 0
    for news in train_gan(
        gan,
        job.train,
        job.params,
        own_seed,
        unlabelled=job.unlabelled,
        evaluate=job.evaluate if first else None,
        states=StateFolder(job.states),
        group=group,
    ):
        if first:
            messages.put(Message(job.gan_seed, news))
        if group.agree(stop.is_set()):
            return
    if first:
        save_checkpoint(job.out, gan, job.train.class_names, job.params, job.gan_seed)


def states_of(home: Path, jobs_key: str) -> Path:
    """Return the folder of one configuration's states; the oldest others are removed."""
    home.mkdir(parents=True, exist_ok=True)
    others = sorted(
        (path for path in home.iterdir() if path.name != jobs_key), key=os.path.getmtime
    )
    for old in others[: -_STATES_KEPT or None]:
        shutil.rmtree(old, ignore_errors=True)
    return home / jobs_key


def state_key(data: Sequence[ImageSet], params: TrainGanParams, seed: int) -> str:
    """Return a name for what decides a run: data, settings, seed, code and torch's version."""
    settings = params.model_dump(mode="json", exclude=_WITHOUT_A_SAY)
    digest = hashlib.sha256(json.dumps([settings, seed, torch.__version__]).encode())
    for images in data:
        digest.update(f"{len(images)}".join(images.manifest["image_id"]).encode())
        digest.update(images.labels.tobytes())
    rooms = Path(__file__).parents[1]
    for file in sorted(rooms.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]

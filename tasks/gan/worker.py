"""One GAN from data to checkpoint, in a process of its own or in several that share it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from tasks.contracts.evaluation import Evaluate
from tasks.contracts.image_set import ImageSet
from tasks.contracts.kept import code_of
from tasks.contracts.machine import one_thread, processor
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.checkpoint import save_checkpoint
from tasks.gan.distributed import SOLO, Group, launch
from tasks.gan.history import CHECKPOINT, STATES
from tasks.gan.model import build_gan, device_of
from tasks.gan.state import GanOutcome, StateFolder
from tasks.gan.telling import Teller
from tasks.gan.training import train_gan

_KEY = re.compile("[0-9a-f]{64}")  # so nothing is removed but states
_STATES_KEPT = 4  # of runs that were never finished


@dataclass(frozen=True)
class GanJob:
    """What one worker trains: paths alone, so that however many images there are, it is small.

    Attributes:
        train: set of labelled images, pseudo-labelled ones among them.
        unlabelled: set of images for the unconditional part, None without.
        params: the section.
        gan_seed: which of its seeds.
        seed: the root seed.
        folder: for its checkpoint and for the state to resume from.
        told: where the stage listens.
        judge: makes what judges the images, in the worker.
        other_domain: set of images that a translator turns into such of this one, None without.
        related: set of images of classes that are not asked about, None without.
        secret: of private training, as in `train_gan`; None without.
    """

    train: Path
    unlabelled: Path | None
    params: TrainGanParams
    gan_seed: int
    seed: int
    folder: Path
    told: Path
    judge: Callable[[], Evaluate]
    other_domain: Path | None = None
    related: Path | None = None
    secret: tuple[bytes, str] | None = field(default=None, repr=False)  # repr may be logged


def train_one(job: GanJob) -> int:
    """Train one GAN and save its checkpoint; leave at the next tick once nobody listens.

    Returns:
        How much it has told, where one process trains it.
    """
    if job.params.processes == 1:
        return _train(SOLO, job)
    launch(_train_part, (job,), job.params.processes, device_of(job.params).type)
    return 0


def _train_part(group: Group, job: GanJob) -> None:
    _train(group, job)


def _train(group: Group, job: GanJob) -> int:
    one_thread()
    teller = Teller(job.told)
    own_seed = job.seed * 1_000_003 + job.gan_seed
    train = ImageSet.load(job.train)
    other_domain = None if job.other_domain is None else ImageSet.load(job.other_domain)
    related = None if job.related is None else ImageSet.load(job.related)
    gan = build_gan(train, job.params, own_seed, other_domain, related)
    first = group.rank == 0
    for news in train_gan(
        gan,
        train,
        job.params,
        own_seed,
        unlabelled=None if job.unlabelled is None else ImageSet.load(job.unlabelled),
        other_domain=other_domain,
        related=related,
        evaluate=job.judge() if first else None,
        states=StateFolder(job.folder / STATES),
        group=group,
        secret=job.secret,
    ):
        if first:
            if isinstance(news, GanOutcome):
                folder = job.folder / CHECKPOINT
                save_checkpoint(
                    folder,
                    gan,
                    train.class_names,
                    job.params,
                    job.gan_seed,
                    other_domain,
                    () if related is None else related.class_names,
                )
            teller.tell(news)
        if group.agree(not teller.heard):
            break
    return teller.told


def states_of(home: Path, key: str) -> Path:
    """Return the folder of one configuration's states; the oldest others are removed."""
    home.mkdir(parents=True, exist_ok=True)
    states = (path for path in home.iterdir() if _KEY.fullmatch(path.name) and path.name != key)
    others = sorted(states, key=os.path.getmtime)
    for old in others[: -_STATES_KEPT or None]:
        shutil.rmtree(old, ignore_errors=True)
    return home / key


def content_key(data: Sequence[ImageSet], settings: object) -> str:
    """Return a name, sha256 as hex, for all that decides what is trained on data by settings.

    That is images, labels and class names, the settings, torch's version, the kind of processor
    and the code that ``dvc.yaml`` lists for ``train_gan``.

    Args:
        data: sets whose order of images matters too.
        settings: what JSON can hold.
    """
    facts = [settings, torch.__version__, processor()]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode() + code_of("train_gan"))
    for images in data:
        digest.update(f"{len(images)}".join(images.manifest["image_id"]).encode())
        digest.update(images.labels.tobytes())
        digest.update(json.dumps(images.class_names).encode())
    return digest.hexdigest()

"""The contestants of `bench.peers`: each trained for the same CPU seconds, its images kept.

A run leaves a folder: uint8 images at each mark, and ``looks.json``. Only time inside training
counts; building, loading what is decoded once, sampling and judging do not.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import numpy as np
import torch
from PIL import Image

from bench.contestants import DEFAULT, PLAIN, contestant, settings
from bench.datasets import TASKS, Cut
from bench.gan_jobs import JUDGED, POOL
from bench.ledger import Row, code_digest
from bench.plain_loop import PlainLoop
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images, ImageSet, Labels
from tasks.contracts.machine import processor
from tasks.contracts.params.line import Params
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.contracts.parent import die_with_parent
from tasks.gan.model import build_gan
from tasks.gan.sampling import sample
from tasks.gan.state import Tick
from tasks.gan.training import train_gan

SHARES = (0.125, 0.25, 0.5, 1.0)  # of the budget, when one looks
_TICK_KIMG = 0.5  # how closely ours meets a mark
_PLAIN_STEPS = 4  # likewise, in steps of the plain loop
_NEVER = 1e9  # kimg
_LEAST = 32  # px, the smallest image that lightweight-gan's discriminator takes
_CHILD = Path(__file__).with_name("peers_lightweight.py")
_ALONE = {
    "OMP_NUM_THREADS": "1",
    "PYTHONWARNINGS": "ignore",
    # memory is kept between steps: its attention asks for so much that this saves a quarter
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(10**11),
    "MALLOC_TOP_PAD_": str(10**9),
}
Loop = Iterator[float]
"""Yields the real images shown so far."""
Make = Callable[[], Images]


class PeerEnvironmentError(UserError):
    """lightweight-gan could not be run: not a finding about it, so nothing is kept."""


@dataclass(frozen=True)
class Look:
    """What a contestant had made of its time at a mark.

    Attributes:
        mark: CPU minutes that it was to have.
        seconds: CPU seconds of training that it had had.
        images: real images shown.
        file: of the images that it made, uint8 ``[N, H, W, C]``.
    """

    mark: float
    seconds: float
    images: float
    file: Path

    def made(self) -> Images:
        """Read its images."""
        made: Images = np.load(self.file)
        return made


@dataclass(frozen=True)
class Looks:
    """A run as it is kept: what trained it, its looks, and why it ended early, if it did."""

    machine: str
    looks: list[Look]
    failed: str | None


class Contestant(Protocol):
    """A way to spend CPU seconds on images."""

    conditional: bool

    def facts(self, run: Run) -> Row:
        """Name all that decides what it makes of a task."""

    def train(self, run: Run, train: ImageSet, out: Path) -> list[Row]:
        """Leave ``images-N.npy`` at each mark; return its ``seconds`` and ``images``."""


@dataclass(frozen=True)
class Run:
    """A contestant of one seed on one task.

    Attributes:
        task: name in `TASKS`.
        contestant: name in `CONTESTANTS`.
        seed: of every draw of its training.
        minutes: of CPU time.
        params: whose ``ingest``, ``seed`` and, for ours, ``train_gan`` hold.
        scratch: folder of this bench.
        python: of lightweight-gan's environment.
    """

    task: str
    contestant: str
    seed: int
    minutes: float
    params: Params
    scratch: Path
    python: Path | None = None

    @property
    def marks(self) -> list[float]:
        """CPU seconds."""
        return [60 * self.minutes * share for share in SHARES]

    @property
    def key(self) -> str:
        """Name of all that decides its images; a peer's stands when our settings change."""
        ingest, task = self.params.ingest, TASKS[self.task]
        facts = {
            "images": [task.source, task.ingest, ingest.fit, ingest.val_share, ingest.test_share],
            "seeds": [self.params.seed, self.seed],
            "sizes": [self.marks, JUDGED, POOL],
            "contestant": CONTESTANTS[self.contestant].facts(self),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def folder(self) -> Path:
        """Where its images are kept."""
        name = f"{self.task}-{self.contestant}-{self.seed}-{self.key}"
        return self.scratch / "peers" / name

    def labels(self, train: ImageSet) -> Labels:
        """Labels ``[N]`` of the images at every mark; a contestant without classes has as many."""
        classes = len(train.class_names)
        each = JUDGED + max(POOL, -(-len(train) // classes))
        return np.repeat(np.arange(classes, dtype=np.int64), each)

    def train(self, cut: Cut) -> None:
        """Train unless that is done; what is half done is done again.

        Raises:
            PeerEnvironmentError: lightweight-gan could not be run.
        """
        if self.folder.is_dir():
            return
        unfinished = self.folder.with_name(f"{self.folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        told: Row = {"machine": processor(), "looks": [], "failed": None}
        try:
            told["looks"] = CONTESTANTS[self.contestant].train(self, cut.train, unfinished)
        except PeerEnvironmentError:
            raise
        except UserError as error:
            told["failed"] = str(error)
        (unfinished / "looks.json").write_text(json.dumps(told), encoding="utf-8")
        unfinished.rename(self.folder)

    def looks(self) -> Looks:
        """Read what is kept; of marks that one long step passed at once, the last."""
        told = json.loads((self.folder / "looks.json").read_text(encoding="utf-8"))
        looks = {
            row["seconds"]: Look(
                mark / 60, row["seconds"], row["images"], self.folder / f"images-{number}.npy"
            )
            for number, (mark, row) in enumerate(zip(self.marks, told["looks"], strict=False))
        }
        return Looks(told["machine"], list(looks.values()), told["failed"])


def _watch(loop: Loop, make: Make, marks: Sequence[float], out: Path) -> list[Row]:
    """Train to each mark in turn and keep what is made there; its making does not count."""
    rows, spent, shown = [], 0.0, 0.0
    for number, mark in enumerate(marks):
        while spent < mark:
            since = time.process_time()
            following = next(loop, None)
            spent += time.process_time() - since
            if following is None:
                break
            shown = following
        np.save(out / f"images-{number}.npy", make())
        rows.append({"seconds": spent, "images": shown})
    return rows


@dataclass(frozen=True)
class Ours:
    """``train_gan`` of ``params.yaml``, its schedules spread over the budget."""

    conditional: bool = True

    def facts(self, run: Run) -> Row:
        """Its settings and its code."""
        code = code_digest("tasks/gan/**/*.py", "tasks/data/batches.py")
        return {"gan": self._params(run).model_dump(mode="json", exclude={"seeds"}), "code": code}

    def train(self, run: Run, train: ImageSet, out: Path) -> list[Row]:
        """Train by the loop of `tasks.gan.training`."""
        labels, params = run.labels(train), self._params(run)
        gan = build_gan(train, params, run.seed)
        news = train_gan(gan, train, params, run.seed)
        loop = (tick.kimg * 1000 for tick in news if isinstance(tick, Tick))
        # a budget of minutes goes by the wall clock there, and by CPU time here
        with mock.patch.object(time, "perf_counter", time.process_time):
            return _watch(loop, lambda: sample(gan.ema, labels, _seeds(labels)), run.marks, out)

    def _params(self, run: Run) -> TrainGanParams:
        budget = {"total_kimg": None, "total_minutes": run.minutes}
        ticks = {"tick_kimg": _TICK_KIMG, "grid_kimg": _NEVER, "state_kimg": _NEVER}
        shared = settings(run.params.train_gan, {}, kimg=1)
        return shared.model_copy(update=budget | ticks)


@dataclass(frozen=True)
class Plain:
    """PyTorch's DCGAN example, loop, loader and all, on the networks of the preset ``plain``.

    Attributes:
        rate: Adam's.
    """

    rate: float
    batch_size: int = 64
    conditional: bool = True

    def facts(self, run: Run) -> Row:
        """Its settings."""
        return {"plain loop": [self.rate, self.batch_size]}

    def train(self, run: Run, train: ImageSet, out: Path) -> list[Row]:
        """Train by `PlainLoop`."""
        params = settings(run.params.train_gan, contestant(PLAIN), kimg=1)
        gan, labels = build_gan(train, params, run.seed), run.labels(train)
        torch.manual_seed(run.seed)
        plain = PlainLoop(gan.generator.train(), gan.discriminator.train())
        for optimizer in (plain.optimizer_d, plain.optimizer_g):
            optimizer.param_groups[0]["lr"] = self.rate
        rounds = plain.rounds(train, self.batch_size, _PLAIN_STEPS)
        shown = _PLAIN_STEPS * self.batch_size
        loop = (float(shown * number) for number, _ in enumerate(rounds, start=1))

        def make() -> Images:
            made = sample(gan.generator.eval(), labels, _seeds(labels))
            gan.generator.train()
            return made

        return _watch(loop, make, run.marks, out)


@dataclass(frozen=True)
class Lightweight:
    """lightweight-gan's trainer in an environment of its own; see `bench.peers_lightweight`.

    Attributes:
        settings: of its ``Trainer``.
        conditional: one GAN a class, each with an equal share of the time; else one for all.
    """

    settings: dict[str, Any]
    conditional: bool = False

    def facts(self, run: Run) -> Row:
        """Its settings."""
        return {"lightweight-gan": self.settings, "a class": self.conditional}

    def train(self, run: Run, train: ImageSet, out: Path) -> list[Row]:
        """Train on PNG files, images below 32 px scaled up by its loader and down again by means.

        Raises:
            PeerEnvironmentError: no environment, or one that does not work.
            UserError: the training gave no number.
        """
        size, _, channels = train.image_shape
        data, labels = out / "real", run.labels(train)
        for row, (pixels, label) in enumerate(zip(train.images, train.labels, strict=True)):
            (data / str(label)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.squeeze()).save(data / str(label) / f"{row}.png")
        own = {"image_size": max(size, _LEAST), "greyscale": channels == 1}
        parts = [data / str(label) for label in np.unique(labels)] if self.conditional else [data]
        count, marks = len(labels) // len(parts), [mark / len(parts) for mark in run.marks]
        told = []
        for number, part in enumerate(parts):
            (place := out / f"child-{number}").mkdir()
            asked = {"settings": self.settings | own | {"count": count}, "marks": marks}
            told.append(_child(run.python, part, place, asked | {"seed": 100 * run.seed + number}))
        for look in range(len(marks)):
            made = [np.load(out / f"child-{n}" / f"images-{look}.npy") for n in range(len(parts))]
            np.save(out / f"images-{look}.npy", shrunk(np.concatenate(made), size))
        for folder in (data, *out.glob("child-*")):
            shutil.rmtree(folder)
        return [
            {name: sum(row[name] for row in rows) for name in ("seconds", "images")}
            for rows in zip(*told, strict=True)
        ]


def _child(python: Path | None, data: Path, out: Path, asked: Row) -> list[Row]:
    if python is None:
        raise PeerEnvironmentError("lightweight-gan", "no environment given", "Give --peer-python")
    given = json.dumps({"data": str(data.resolve()), "out": str(out.resolve()), **asked})
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(
        [python, _CHILD, given],
        env=kept | _ALONE,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=partial(die_with_parent, os.getpid()),
    )
    if ended.returncode != 0:
        reason = (ended.stderr.strip().splitlines() or ["no word"])[-1]
        kind = UserError if "NanException" in reason else PeerEnvironmentError
        raise kind("lightweight-gan", f"its process failed: {reason}", "See bench/README.md")
    rows: list[Row] = json.loads((out / "looks.json").read_text(encoding="utf-8"))
    return rows


def shrunk(images: Images, size: int) -> Images:
    """Scale square uint8 ``[N, H, W, C]`` down to `size` px by the mean of each block."""
    n, height, _, channels = images.shape
    by = height // size
    blocks = images.reshape(n, size, by, size, by, channels).mean(axis=(2, 4))
    return np.rint(blocks).astype(np.uint8)


def _seeds(labels: Labels) -> Labels:
    return np.arange(len(labels), dtype=np.int64)


_COMMAND_LINE = {
    "fmap_max": 512,
    "batch_size": 10,
    "gradient_accumulate_every": 4,
    "attn_res_layers": [32],
    "disc_output_size": 1,
    "aug_types": ["cutout", "translation"],
}
# what its documented options cut: more updates for the same seconds
_SMALL = {"fmap_max": 64, "batch_size": 8, "gradient_accumulate_every": 1, "attn_res_layers": []}

CONTESTANTS: dict[str, Contestant] = {
    DEFAULT: Ours(),
    "plain": Plain(0.0002),
    # the usual rate is for far longer runs: without this, the comparison would flatter us
    "plain-10x": Plain(0.002),
    "lightweight": Lightweight(_COMMAND_LINE),
    "lightweight-small": Lightweight(_COMMAND_LINE | _SMALL),
    "lightweight-small-classes": Lightweight(_COMMAND_LINE | _SMALL, conditional=True),
}

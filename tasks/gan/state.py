"""What a training run tells, and its state on disk: atomic, two kept, damage noticed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from tasks.contracts.evaluation import GanEvaluation
from tasks.contracts.privacy import Guarantee

_KEPT = 2
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Tick:
    """What happened since the last tick: means over its steps.

    Attributes:
        kimg: thousands of real images shown so far.
        done: share of the budget that is spent, 0..1.
        curves: loss_g, loss_d, logit_real, logit_fake (means), grad_norm_g, grad_norm_d (L2);
            epsilon, spent so far, where training is private.
        images_per_second: real images shown per second of wall time.
        grid: a picture as PNG, when due; left out where a tick goes to JSON.
        evaluation: of the averaged generator on real/val, when due.
    """

    kimg: float
    done: float
    curves: dict[str, float]
    images_per_second: float
    grid: Annotated[bytes | None, Field(exclude=True)] = None
    evaluation: GanEvaluation | None = None


@dataclass(frozen=True)
class GanOutcome:
    """How a run ended.

    Attributes:
        kept_kimg: when the checkpoint that is kept was reached.
        evaluation: of that checkpoint; None where the run was not evaluated.
        collapsed: classes that have collapsed in the checkpoint that is kept.
        rollbacks: how often the run diverged and was rolled back.
        stopped_early: whether it was given up as hopeless.
        events: one line each, for people.
        guarantee: what a GAN that was trained privately promises, by itself.
    """

    kept_kimg: float
    evaluation: GanEvaluation | None
    collapsed: tuple[str, ...]
    rollbacks: int
    stopped_early: bool
    events: tuple[str, ...]
    guarantee: Guarantee | None = None


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Everything that a run needs to go on as if it had never stopped.

    Attributes:
        tensors: weights, optimisers, averages, random states, by dotted name.
        facts: plain values that JSON holds exactly: counters, the sampler, what was told so far.
        grids: pictures (PNG) by number of their tick; each is written once, beside the states.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    grids: dict[int, bytes] = dataclasses.field(default_factory=dict)


class StateFolder:
    """The newest two snapshots of one run, and the pictures that they refer to.

    A snapshot is named by its number and the sha256 of its content, a picture by its sha256, so a
    damaged one cannot pass for whole; a name is given only to a file that lies complete on the
    disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, snapshot: Snapshot, number: int) -> None:
        """Write a snapshot beside the one before; older ones go."""
        self._folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: t.detach().cpu().contiguous() for name, t in snapshot.tensors.items()}
        grids = {number: self._keep(grid) for number, grid in snapshot.grids.items()}
        held = {"facts": snapshot.facts, "grids": grids}
        content = save(tensors, {"held": json.dumps(held, sort_keys=True)})
        self._write(f"{number:09d}-{_digest(content)}{_SUFFIX}", content)
        for old in (*self._files()[:-_KEPT], *self._folder.glob(".writing-*")):
            old.unlink()

    def load(self) -> Snapshot | None:
        """Return the newest whole snapshot, or None."""
        for path in reversed(self._files()):
            content = path.read_bytes()
            if _digest(content) != path.stem.partition("-")[2]:
                continue
            try:
                held = _held(content)
                grids = {int(n): self._picture(name) for n, name in held["grids"].items()}
                return Snapshot(load(content), held["facts"], grids)
            except (SafetensorError, ValueError, KeyError, OSError):
                continue
        return None

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"[0-9]*-*{_SUFFIX}"))

    def _write(self, name: str, content: bytes) -> None:
        beside = self._folder / f".writing-{os.getpid()}"
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._folder / name)

    def _keep(self, grid: bytes) -> str:
        """Write a picture unless it is there, and return its name."""
        name = f"{_digest(grid)}.png"
        if not (self._folder / name).is_file():
            self._write(name, grid)
        return name

    def _picture(self, name: str) -> bytes:
        content = (self._folder / name).read_bytes()
        if name != f"{_digest(content)}.png":
            raise ValueError(f"{name} is damaged")
        return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _held(content: bytes) -> dict[str, Any]:
    """Read the plain values out of a safetensors header (8 bytes of length, then JSON)."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    held: dict[str, Any] = json.loads(header["__metadata__"]["held"])
    return held


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under ``prefix.``, copied, so that training on does not change them."""
    return {f"{prefix}.{name}": tensor.detach().clone() for name, tensor in tensors.items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what `prefixed` put under ``prefix.``."""
    start = f"{prefix}."
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return an optimiser's moments and step counts as ``<number>.<name>``."""
    return {
        f"{number}.{name}": torch.as_tensor(value)
        for number, moments in optimizer.state_dict()["state"].items()
        for name, value in moments.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` returned."""
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        moments.setdefault(int(number), {})[name] = value.clone()
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})

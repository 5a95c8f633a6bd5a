"""The state of a training run on disk: written atomically, two kept, damage noticed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

_KEPT = 2
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Snapshot:
    """Everything that a run needs to go on as if it had never stopped.

    Attributes:
        tensors: weights, optimisers, averages, random states, by dotted name.
        facts: plain values that JSON holds exactly: counters, the sampler, what was told so far.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class StateFolder:
    """The newest two snapshots of one run.

    A file is named by its number and the sha256 of its content, so a damaged one cannot pass
    for whole; a name is given only to a file that lies complete on the disk.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, snapshot: Snapshot, number: int) -> None:
        """Write a snapshot beside the one before; older ones go."""
        self._folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: t.detach().cpu().contiguous() for name, t in snapshot.tensors.items()}
        content = save(tensors, {"facts": json.dumps(snapshot.facts, sort_keys=True)})
        digest = hashlib.sha256(content).hexdigest()
        beside = self._folder / f".writing-{os.getpid()}"
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._folder / f"{number:09d}-{digest}{_SUFFIX}")
        for old in (*self._files()[:-_KEPT], *self._folder.glob(".writing-*")):
            old.unlink()

    def load(self) -> Snapshot | None:
        """Return the newest whole snapshot, or None."""
        for path in reversed(self._files()):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != path.stem.partition("-")[2]:
                continue
            try:
                return Snapshot(load(content), _facts(content))
            except (SafetensorError, ValueError, KeyError):
                continue
        return None

    def clear(self) -> None:
        """Remove every snapshot."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"[0-9]*-*{_SUFFIX}"))


def _facts(content: bytes) -> dict[str, Any]:
    """Read the plain values out of a safetensors header (8 bytes of length, then JSON)."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    facts: dict[str, Any] = json.loads(header["__metadata__"]["facts"])
    return facts


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

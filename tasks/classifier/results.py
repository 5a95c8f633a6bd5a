"""What comes of one run, and how it is kept so that no finished run is trained twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from tasks.classifier.saved import WEIGHTS, State
from tasks.classifier.scores import Predictions

_COUNTS, _SAID = "counts.json", "{}.npz"


@dataclass(frozen=True)
class Counts:
    """What a run took.

    Attributes:
        steps: optimiser steps taken.
        real_seen: real images shown, repeats counted.
        added_seen: added images shown, likewise.
        real: distinct places in the real part of its training set.
        added: likewise of the added part.
    """

    steps: int
    real_seen: int
    added_seen: int
    real: int
    added: int


@dataclass(frozen=True)
class RunResult:
    """What came of a run.

    Attributes:
        counts: what it took.
        said: of each set that it was judged on, by name; none where the training diverged.
        state: its weights, of the arm with filtered images alone.
    """

    counts: Counts
    said: Mapping[str, Predictions]
    state: State | None

    def save(self, folder: Path) -> None:
        """Write it into a folder that is there."""
        (folder / _COUNTS).write_text(json.dumps(asdict(self.counts)), encoding="utf-8")
        for name, said in self.said.items():
            np.savez(folder / _SAID.format(name), **asdict(said))
        if self.state is not None:
            save_file(self.state, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> RunResult:
        """Read what `save` has written."""
        counts = Counts(**json.loads((folder / _COUNTS).read_text(encoding="utf-8")))
        said = {}
        for path in sorted(folder.glob(_SAID.format("*"))):
            with np.load(path, allow_pickle=False) as arrays:
                said[path.stem] = Predictions(**arrays)
        weights = folder / WEIGHTS
        return cls(counts, said, load_file(weights) if weights.is_file() else None)

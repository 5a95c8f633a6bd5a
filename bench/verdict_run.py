"""One run of the verdict's calibration: the true line from `quality_filter` on, on a known pool."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import torch

from bench.ledger import Row
from bench.verdict_line import Line
from tasks.contracts.errors import UserError
from tasks.contracts.params.line import Params

MOST_RUNS = 10_000  # of one seed
_ROOMS = ("contracts", "data", "gan", "quality", "classifier", "lift")
CODE = (
    *(f"bench/verdict_{part}.py" for part in ("run", "line", "pool")),
    "tasks/*.py",
    *(f"tasks/{room}/**/*.py" for room in _ROOMS),
)

# What differs from `params.yaml`: a small task and little training, so that a run takes seconds.
# Planted images are few (what the cut leaves, dealt to the GANs): they have to matter, so there are
# few real ones. Both modes share splits and settings, and so the runs that see no pool image.
SMALL: dict[str, dict[str, Any]] = {
    "ingest": {
        "source": "data/embedded/digits.yaml",
        "image_size": 8,
        "val_share": 0.15,
        "test_share": 0.45,
        "per_class": 5,
        "imbalance": 1.0,
        "label_fraction": 1.0,
    },
    "train_gan": {
        "seeds": [0, 1, 2, 3],
        "network": "conv",
        "width": 4,
        "penalty_share": 0.25,
        "slope": "exact",
        "total_kimg": 1.0,
        "total_minutes": None,
        "tick_kimg": 1.0,
        "grid_kimg": 2.0,
        "unlabelled": "none",
        "device": "cpu",
        "precision": "float32",
    },
    "generate": {"per_class": 26},
    "quality_filter": {"folds": 2, "classifier_steps": 40, "reject_copies": False, "tune": False},
    "merge": {"synthetic_per_real": 2.4},
    "retrain": {
        "classifier": "small_cnn",
        "weights": None,
        "seeds": [0, 1, 2, 3],
        "recipes": ["classical", "mixup"],
        "steps": 100,
        "most_steps": 200,
        "batch_size": 16,
        "learning_rate": 0.01,
        "weight_decay": 0.01,
        "fractions": [],
        "flip": False,
        "schedule": "mixed",
        "precision": "float32",
    },
    "report": {
        "primary_metric": "balanced_accuracy",
        "baseline": "strongest",
        "treatment": "real+filtered",
        "level": 0.95,
        "resamples": 2000,
    },
}


def small_params(params: Params) -> Params:
    """Return the product's settings with `SMALL` on top."""
    sections = {}
    for name, own in SMALL.items():
        section = getattr(params, name)
        sections[name] = type(section)(**section.model_dump() | own)
    return dataclasses.replace(params, **sections)


@dataclass(frozen=True)
class VerdictRun:
    """One run: splits, GANs, pool and seeds of its own.

    Attributes:
        mode: of `bench.verdict_pool.POOLS`.
        seed: of the whole calibration.
        number: of the run, from 0; both modes have the same splits and GANs under one number.
        params: every section; the root seed is not read.
        scratch: folder of the benches.
    """

    mode: str
    seed: int
    number: int
    params: Params
    scratch: Path

    @property
    def key(self) -> str:
        """Name of all that decides the result but the code."""
        settings = {name: getattr(self.params, name).model_dump(mode="json") for name in SMALL}
        facts = [self.mode, self.seed, self.number, settings]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def names(self) -> Row:
        """Mode, seed and number of the run."""
        return {"mode": self.mode, "seed": self.seed, "run": self.number}

    @property
    def root_seed(self) -> int:
        """The run's root seed: no two runs share it, of this calibration or another seed's."""
        return self.seed * MOST_RUNS + self.number

    def do(self) -> Row:
        """Run the line on one thread, in a folder that is removed afterwards.

        Returns:
            names, then ``refused`` (what the line refused and why), or verdict, baseline, lift_pp,
            ci_low, ci_high and mde_pp, the same of ``against_repeated``, and images in ``pool``
            and ``accepted``; ``seconds`` by stage.
        """
        torch.set_num_threads(1)
        folder = self.scratch / "verdict_runs" / self.key
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped
        folder.mkdir(parents=True)
        line = Line(folder, self.params, self.root_seed)
        try:
            with (
                (folder / "log").open("w", encoding="utf-8") as log,
                redirect_stdout(log),
                joblib.parallel_config(backend="sequential"),
            ):
                found = line.run(self.mode)
        except UserError as error:
            found = {"refused": str(error)}
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return self.names | found | {"seconds": line.seconds}

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.adapters.fake_results import make_results, make_store


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A project with results, an empty store and a tiny generator; the working directory."""
    root = tmp_path / "a project"  # a space in the path is part of the test
    make_store(root)
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    # a loaded model puts its own copy of `tasks` in front, which later worker processes inherit
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("tasks.gan.checkpoint.load_generator", load_fake_generator)
    monkeypatch.setattr("tasks.gan.sampling.sample", fake_sample)
    return make_results(root)


def load_fake_generator(folder: Path) -> int:
    return int(json.loads((folder / "config.json").read_text())["fill"])


def fake_sample(generator: int, labels: np.ndarray, latent_seeds: np.ndarray) -> np.ndarray:
    fill = (generator + 10 * labels + latent_seeds).astype(np.uint8)
    return np.broadcast_to(fill[:, None, None, None], (len(labels), 8, 8, 1))

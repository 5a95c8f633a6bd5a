"""A project whose results stand in MLflow, for the commands that read them back."""

from __future__ import annotations

import shutil
import sys
from collections import OrderedDict
from pathlib import Path

import pytest
import yaml
from mlflow.tracking._tracking_service import utils

from tasks.adapters.tracking.store import store_at, tracking_uri
from tests.adapters.fake_results import make_results, make_store


def tracked_project(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Make a project with results and an empty store, enter it, and return its paths."""
    make_store(root)
    monkeypatch.chdir(root)
    _shield(monkeypatch)
    paths = make_results(root)
    told = {name: path.as_posix() for name, path in paths.items()}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"vars": [{"path": told}], "stages": {}}))
    return paths


def enter_copy(made: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter a copy of a tracked project; to log its results again would take seconds."""
    shutil.copytree(made, root, dirs_exist_ok=True)
    monkeypatch.chdir(root)
    _shield(monkeypatch)
    store_at(tracking_uri()).client()  # the store follows to its new place
    # MLflow knows by a run's id where its files lie, and copies share them
    monkeypatch.setattr(f"{utils.__name__}._artifact_repos_cache", OrderedDict())


def _shield(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    # a loaded model puts its own copy of `tasks` in front, which later worker processes inherit
    monkeypatch.setattr(sys, "path", [*sys.path])

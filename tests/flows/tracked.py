"""A project whose results stand in MLflow, for the commands that read them back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flows import cli
from tests.adapters.fake_results import make_results, make_store


def tracked_project(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Make a project with results and an empty store, enter it, and return its paths."""
    make_store(root)
    monkeypatch.chdir(root)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    # a loaded model puts its own copy of `tasks` in front, which later worker processes inherit
    monkeypatch.setattr(sys, "path", [*sys.path])
    (root / "dvc.yaml").write_text("vars: [{path: {ingest: reports/ingest.json}}]")
    return make_results(root)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["ganlift", *arguments])
    try:
        cli.main()
    except SystemExit as ending:
        return int(ending.code or 0)
    return 0

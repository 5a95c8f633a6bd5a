"""The paths that ``dvc.yaml`` writes once."""

from __future__ import annotations

from pathlib import Path

import yaml


def paths(file: Path = Path("dvc.yaml")) -> dict[str, Path]:
    """Return the variables ``path.*`` of ``dvc.yaml``, relative to its folder."""
    (variables,) = yaml.safe_load(file.read_text(encoding="utf-8"))["vars"]
    return {name: Path(path) for name, path in variables["path"].items()}

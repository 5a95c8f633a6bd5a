"""The paths that ``dvc.yaml`` writes once, and a fact that lies at one of them."""

from __future__ import annotations

import json
from pathlib import Path

import yaml


def paths(file: Path = Path("dvc.yaml")) -> dict[str, Path]:
    """Return the variables ``path.*`` of ``dvc.yaml``, relative to its folder."""
    (variables,) = yaml.safe_load(file.read_text(encoding="utf-8"))["vars"]
    return {name: Path(path) for name, path in variables["path"].items()}


def white_level() -> int | None:
    """Return the level that is white in the project's grey images of more than 8 bits.

    None where it has none, or nothing was ingested yet.
    """
    facts = paths()["ingest"]
    if not facts.is_file():
        return None
    white: int | None = json.loads(facts.read_text(encoding="utf-8")).get("white")
    return white

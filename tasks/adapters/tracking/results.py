"""The files of a result, and what its run is called and known by."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.answer import words
from tasks.lift.result import LiftResult

DIGEST = "ganlift.lift_sha256"  # tag


@dataclass(frozen=True)
class LiftFiles:
    """Files of a result.

    Attributes:
        lift: ``lift.json``; its sha256 is what the run is known by.
        page: the report, one HTML file.
        pictures: a folder of PNG files.
        runs: ``runs.parquet``, a row for each arm and classifier seed.
        gan_metrics: ``gan.json``, with the checkpoints the result was made with.
    """

    lift: Path
    page: Path
    pictures: Path
    runs: Path
    gan_metrics: Path

    @cached_property
    def content(self) -> LiftResult:
        """What ``lift.json`` says."""
        return LiftResult.load(self.lift)

    @cached_property
    def digest(self) -> str:
        """Sha256 of ``lift.json``."""
        return hashlib.sha256(self.lift.read_bytes()).hexdigest()

    @property
    def name(self) -> str:
        """What the run is called: ``helps: +1.3 points [+0.4, +2.2]``."""
        return f"{self.content.verdict}: {words.lift(self.content)}"


@dataclass(frozen=True)
class Results(LiftFiles):
    """Files of a result that has a classifier to keep.

    Attributes:
        retrained: ``retrain.json``.
        classifier: the retrained classifier's folder.
    """

    retrained: Path
    classifier: Path

    @cached_property
    def retraining(self) -> dict[str, Any]:
        """What ``retrain.json`` says."""
        content: dict[str, Any] = json.loads(self.retrained.read_text(encoding="utf-8"))
        return content

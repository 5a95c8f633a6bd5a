"""How long stages took here, or will by their plan: what the time left of the line is told from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(".ganlift/durations.json")


@dataclass(frozen=True)
class Place:
    """Where a stage stands in the line.

    Attributes:
        number: of the stage, from 1.
        of: how many stages the line has.
        later_seconds: what the stages still to visit took when they last ran by these settings, or
            what their plan says; None where one has neither.
        own_seconds: likewise, of the stage itself.
    """

    number: int
    of: int
    later_seconds: float | None
    own_seconds: float | None = None


class Durations:
    """Seconds of each stage's last run, or of its plan, and the settings that these belong to.

    A stage's time hangs on the images and on every setting above it, so all sections up to its
    own count: another data set's times are never taken.
    """

    def __init__(self, root: Path, stages: Sequence[str], values: Mapping[str, Any]) -> None:
        self._path, self._stages, self._values = root / FILE, stages, values
        self._known = _read(self._path)

    def later(self, stages: Sequence[str]) -> float | None:
        """Return the seconds of all ``stages`` together, or None where one is not known."""
        told = [self._known.get(stage, {}) for stage in stages]
        if any(
            one.get("settings") != self._settings(stage)
            for stage, one in zip(stages, told, strict=True)
        ):
            return None
        return float(sum(one["seconds"] for one in told))

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Keep what a plan says of each stage, until it has run; what ran by these settings stays.

        Args:
            seconds: of one run of each stage.
        """
        for stage, expected in seconds.items():
            if self.later([stage]) is None:
                self.add(stage, expected)

    def add(self, stage: str, seconds: float) -> None:
        """Keep how long a stage took that has run from end to end."""
        self._known[stage] = {"settings": self._settings(stage), "seconds": round(seconds, 1)}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._known, indent=2) + "\n", encoding="utf-8")

    def _settings(self, stage: str) -> str:
        names = ("seed", *self._stages[: self._stages.index(stage) + 1])
        chosen = {name: self._values.get(name) for name in names}
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Return what was kept; a file that cannot be read tells nothing."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}

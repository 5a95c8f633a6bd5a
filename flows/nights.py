"""Runs of the whole line that found nothing new, noted for ``ganlift history``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tasks.adapters.timeline import Night

NIGHTS = Path(".ganlift/nights.jsonl")


def is_quiet(states: Mapping[str, str]) -> bool:
    """Tell whether the whole line was visited and every stage was unchanged."""
    whole = any(name.endswith("ingest") for name in states)
    return whole and set(states.values()) == {"unchanged"}


def digest_of(lift: Path) -> str:
    """Return what a result is known by: the sha256 of its ``lift.json``."""
    return hashlib.sha256(lift.read_bytes()).hexdigest()


def note_night(root: Path, lift: Path) -> None:
    """Note that a run ends now that has found this ``lift.json`` up to date."""
    path, now = root / NIGHTS, datetime.now().astimezone()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        line = {"ended": now.isoformat(timespec="milliseconds"), "result": digest_of(lift)}
        file.write(json.dumps(line) + "\n")


def noted_nights(root: Path) -> list[Night]:
    """Return the nights that were noted; a line that was never finished is left out."""
    path = root / NIGHTS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    nights = []
    for line in lines:
        try:
            told = json.loads(line)
            nights.append(Night(datetime.fromisoformat(told["ended"]), told["result"]))
        except (ValueError, KeyError, TypeError):
            continue
    return nights

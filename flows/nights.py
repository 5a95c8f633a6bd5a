"""Runs that brought no new result, or failed, noted for ``ganlift history``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from tasks.adapters.timeline import MINUTE, Failure, Night, ResultRun
from tasks.contracts.errors import UserError
from tasks.contracts.params.reading import FILE, read_values

NIGHTS = Path(".ganlift/nights.jsonl")
SINCE = Path(".ganlift/since.json")  # the run that holds the newest result, as MLflow told it


def is_quiet(states: Mapping[str, str]) -> bool:
    """Tell whether the whole line was visited and every stage was unchanged."""
    return is_whole(states) and set(states.values()) == {"unchanged"}


def is_whole(states: Mapping[str, str]) -> bool:
    """Tell whether the line was visited from its first stage on."""
    return any(name.endswith("ingest") for name in states)


def digest_of(lift: Path) -> str:
    """Return what a result is known by: the sha256 of its ``lift.json``."""
    return hashlib.sha256(lift.read_bytes()).hexdigest()


def note_night(root: Path, lift: Path) -> None:
    """Note that a run ends now with this ``lift.json``, which was there before."""
    _note(root, {"result": digest_of(lift)})


def note_failure(root: Path, line: str) -> None:
    """Note that a run on the data set of ``params.yaml`` fails now, and why, as far as can be."""
    # wrong settings are of no data set, and a disk may be full
    with suppress(UserError, OSError, KeyError, TypeError):
        _note(root, {"failed": line, "source": read_values(root / FILE)["ingest"]["source"]})


def _note(root: Path, told: Mapping[str, str]) -> None:
    path, now = root / NIGHTS, datetime.now().astimezone()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"ended": now.isoformat(timespec="milliseconds"), **told}) + "\n")


def noted_nights(root: Path) -> list[Night]:
    """Return the nights that were noted; a line that was never finished is left out."""
    return [Night(ended, told["result"]) for ended, told in _noted(root) if "result" in told]


def noted_failures(root: Path, source: str) -> list[Failure]:
    """Return the failures on a data set, named as in ``params.yaml``."""
    return [
        Failure(ended, source, told["failed"])
        for ended, told in _noted(root)
        if "failed" in told and told.get("source") == source
    ]


def _noted(root: Path) -> Iterator[tuple[datetime, dict[str, str]]]:
    path = root / NIGHTS
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        with suppress(ValueError, KeyError, TypeError):
            told = json.loads(line)
            yield datetime.fromisoformat(told["ended"]), told


def nothing_new(root: Path, lift: Path) -> str:
    """Return ``nothing new since RUN``: the one that MLflow holds this ``lift.json`` in."""
    run = known_run(root, lift)
    return f"nothing new since {run.short_id}, {run.ended:{MINUTE}}" if run else "nothing new"


def known_run(root: Path, lift: Path) -> ResultRun | None:
    """Return the run that MLflow holds a ``lift.json`` in; None if none does, or it is away.

    MLflow is asked once for each result and store, since its import alone takes 2 s.
    """
    from tasks.adapters.tracking.history import pages, run_of

    digest, note = digest_of(lift), root / SINCE
    with suppress(OSError, ValueError, KeyError, TypeError):
        told = json.loads(note.read_text(encoding="utf-8"))
        if told["result"] == digest and told["page"].startswith(f"{pages()}/"):
            return ResultRun(told["run"], datetime.fromisoformat(told["ended"]), told["page"])
    with suppress(UserError):  # a store out of reach takes nothing from the answer
        if run := run_of(digest):
            known = {"result": digest, "run": run.run_id}
            known |= {"ended": run.ended.isoformat(), "page": run.page}
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps(known), encoding="utf-8")
            return run
    return None

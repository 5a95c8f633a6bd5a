"""Reports of the data set before: moved aside where another one is run, never left lying."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import yaml
from rich.console import Console

from flows.folds import OVER_ALL
from tasks.contracts.errors import UserError
from tasks.contracts.outputs import LOCKS, lock_of, refuse_foreign

FORMER = Path(".ganlift/former")
_REPORTS = "reports"


def make_room(root: Path, source: str) -> None:
    """Move aside the reports of the data set that stage ingest ran last, if it was another one.

    Which it was is in DVC's locks, of the line and of its folds: it does not matter who changed
    params.yaml since, nor whether the run that was to move the reports was killed.
    """
    for lock in LOCKS:
        before = _ran(root / lock)
        if before not in (None, source):
            set_aside(root, str(before), lock)


def _ran(lock: Path) -> str | None:
    """Return the source of which a lock tells; None if stage ingest never ran."""
    if not lock.is_file():
        return None
    try:
        stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
        ran = stages.get("ingest") or stages["ingest@1"]
        source: str = ran["params"]["params.yaml"]["ingest"]["source"]
    except (yaml.YAMLError, KeyError, TypeError):  # if it is broken, DVC says so
        return None
    return source


def set_aside(root: Path, source: str, lock: Path = LOCKS[0]) -> Path | None:
    """Move the reports that the pipeline wrote for ``source`` to a folder, and say where.

    What it did not write, or somebody changed since, stays. Works in the project's folder, as
    the ledger of outputs does.

    Args:
        root: the project's folder.
        source: of the images that they tell of.
        lock: that of the stages that wrote them.

    Returns:
        the folder, relative to ``root``; None where there was nothing to move.
    """
    written = [(stage, path) for stage, path in _reports(root) if lock_of(path) == lock]
    ours = [path for stage, path in written if path.exists() and _is_ours(path, stage)]
    half = FORMER / ".on-the-way"  # gone on with, if a run was killed as it moved them
    if not ours and not (root / half).exists():
        return None
    name = re.sub(r"[^\w.-]+", "-", Path(source).stem).strip("-.") or "data"
    number = 1
    while (root / FORMER / f"{name}-{number}").exists():
        number += 1
    place = FORMER / f"{name}-{number}"
    for path in ours:
        to = root / half / (path.relative_to(_REPORTS) if path.parts[0] == _REPORTS else path)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(root / path, to)
    (root / half).replace(root / place)
    Console(highlight=False).print(f"The reports of {source} were moved to {place}.", markup=False)
    return place


def _reports(root: Path) -> list[tuple[str, Path]]:
    """Return every report that ``dvc.yaml`` and ``folds/dvc.yaml`` name, with its stage."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        outs = [(stage.name, Path(str(out))) for stage in repo.index.stages for out in stage.outs]
    return [
        (stage.partition("@")[0], path)
        for stage, path in outs
        if _REPORTS in path.parts or stage == OVER_ALL
    ]


def _is_ours(path: Path, stage: str) -> bool:
    try:
        refuse_foreign(path, stage)
    except UserError:
        return False
    return True

"""Reports of the data set before: moved aside where another one is run, never left lying."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import yaml
from rich.console import Console

from tasks.contracts.errors import UserError
from tasks.contracts.outputs import refuse_foreign

FORMER = Path(".ganlift/former")
_REPORTS = "reports"


def make_room(root: Path, source: str) -> Path | None:
    """Move aside the reports of the data set that stage ingest ran last, if it was another one.

    That is in ``dvc.lock``, so that it does not matter who changed params.yaml, nor whether the
    run that was to move them was killed.

    Returns:
        where they are now, relative to ``root``; None where there was nothing to move.
    """
    lock = root / "dvc.lock"
    if not lock.is_file():
        return None
    try:
        ran = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]["ingest"]
        before = ran["params"]["params.yaml"]["ingest"]["source"]
    except (yaml.YAMLError, KeyError, TypeError):  # it never ran, or DVC will say what is wrong
        return None
    return set_aside(root, before) if before != source else None


def set_aside(root: Path, source: str) -> Path | None:
    """Move the reports that the pipeline wrote for ``source`` to a folder, and say where.

    What it did not write, or somebody changed since, stays. Works in the project's folder, as
    the ledger of outputs does.

    Returns:
        the folder, relative to ``root``; None where there was nothing to move.
    """
    ours = [path for stage, path in _reports(root) if path.exists() and _is_ours(path, stage)]
    half = FORMER / ".on-the-way"  # gone on with, if a run was killed as it moved them
    if not ours and not (root / half).exists():
        return None
    name = re.sub(r"[^\w.-]+", "-", Path(source).stem).strip("-.") or "data"
    number = 1
    while (root / FORMER / f"{name}-{number}").exists():
        number += 1
    place = FORMER / f"{name}-{number}"
    for path in ours:
        to = root / half / path.relative_to(_REPORTS)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(root / path, to)
    (root / half).replace(root / place)
    Console(highlight=False).print(f"The reports of {source} were moved to {place}.", markup=False)
    return place


def _reports(root: Path) -> list[tuple[str, Path]]:
    """Return every report that ``dvc.yaml`` names, with its stage."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        outs = [(stage.name, Path(str(out))) for stage in repo.index.stages for out in stage.outs]
    return [(stage, path) for stage, path in outs if path.parts[0] == _REPORTS]


def _is_ours(path: Path, stage: str) -> bool:
    try:
        refuse_foreign(path, stage)
    except UserError:
        return False
    return True

"""Reports of the data set before: moved aside where another one is run, never left lying."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from rich.console import Console

from flows.folds import OVER_ALL
from tasks.contracts.errors import UserError
from tasks.contracts.outputs import refuse_foreign

FORMER = Path(".ganlift/former")
_REPORTS = "reports"


def set_aside(root: Path, source: str) -> Path | None:
    """Move the reports that the pipeline wrote for ``source`` to a folder, and say where.

    What it did not write, or somebody changed since, stays. Works in the project's folder, as
    the ledger of outputs does.

    Returns:
        the folder, relative to ``root``; None where there was nothing to move.
    """
    ours = [path for stage, path in _reports(root) if path.exists() and _is_ours(path, stage)]
    if not ours:
        return None
    name = re.sub(r"[^\w.-]+", "-", Path(source).stem).strip("-.") or "data"
    number = 1
    while (root / FORMER / f"{name}-{number}").exists():
        number += 1
    place = FORMER / f"{name}-{number}"
    for path in ours:
        to = root / place / (path.relative_to(_REPORTS) if path.parts[0] == _REPORTS else path)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(root / path, to)
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

"""What DVC knows of one stage: whether it is up to date, and which outputs are merely missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from flows.dvc_words import dvc_error


def is_up_to_date(root: Path, stage: str) -> bool:
    """Tell whether `dvc repro -s STAGE` would find nothing to do; unsure counts as no.

    Read in this process, which takes 0.05 s where a child takes 1 s. Only read: DVC's own
    child alone runs stages and writes ``dvc.lock``.
    """
    return _changes(root, stage) == []


def bring_back(root: Path, stage: str) -> bool:
    """Restore outputs that were deleted, where nothing else has changed, from DVC's cache.

    Returns:
        Whether the stage is up to date now.
    """
    changes = _changes(root, stage)
    outs: dict[str, str] = {}
    for change in changes or ():
        if isinstance(change, str) or set(change) != {"changed outs"}:
            return False
        outs |= change["changed outs"]
    if set(outs.values()) != {"deleted"}:
        return False
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "checkout", "--quiet", *outs]
    subprocess.run(command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return is_up_to_date(root, stage)


def missing_inputs(root: Path, stage: str) -> list[str]:
    """Return the stage's dependencies that do not exist, relative to ``root``."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            (found,) = repo.stage.collect(stage)
            return [str(dep) for dep in found.deps if not dep.exists]
    except DvcException as error:
        raise dvc_error("dvc.yaml", str(error).splitlines()) from None


def _changes(root: Path, stage: str) -> list[dict[str, dict[str, str]] | str] | None:
    """Return what `dvc status` says of a stage, nothing where it is up to date, None if unsure."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            found: dict[str, list[dict[str, dict[str, str]] | str]] = repo.status(targets=[stage])
    except DvcException:
        return None  # the child waits for DVC's lock, or says what is wrong
    return [change for changes in found.values() for change in changes]

"""``ganlift init DIR``: a project folder of its own, so that two data sets live side by side."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from flows.child import environment
from flows.shipped import put
from tasks.contracts.errors import UserError


def make_project(folder: Path) -> None:
    """Make a project in a folder that is not there or empty, under Git and DVC.

    The code stays where it is installed; a link to it stands in the project, where DVC sees what
    a change of it makes stale.

    Raises:
        UserError: the folder is not empty, lies in another project, or Git is not there.
    """
    _see_free(folder)
    if shutil.which("git") is None:
        raise UserError("git", "it is not installed, and DVC keeps versions with it", "Install it")
    folder.mkdir(parents=True, exist_ok=True)
    _run(folder, "git", "init", "--quiet")
    _run(folder, sys.executable, "-m", "dvc", "init", "--quiet")
    put(folder)


def _see_free(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(str(folder), "a file of this name is there", "Name another folder")
    if folder.is_dir() and next(folder.iterdir(), None) is not None:
        raise UserError(
            str(folder), "the folder is not empty", "Name one that is empty or not there yet"
        )
    for above in folder.resolve().parents:
        if (above / "dvc.yaml").is_file():
            raise UserError(
                str(folder), f"it lies in the project {above}", "Name a folder outside of it"
            )


def _run(folder: Path, *command: str) -> None:
    ended = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip().splitlines()[-1:]
        raise UserError(str(folder), f"{Path(command[0]).name} failed: {said}", "Mend that")

"""``ganlift init DIR``: a project folder of its own, so that two data sets live side by side."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import tasks
from flows.child import environment
from tasks.contracts.errors import UserError

CODE = "tasks"  # what dvc.yaml's stages depend on: a link to the code that runs
FILES = (
    "params.yaml",
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    ".dvc/config",
    "mlflow/server.env",
    "data/embedded/digits.yaml",
)
_WHEEL = Path(__file__).parents[1] / "ganlift_project"  # where a wheel keeps them (pyproject.toml)
_CLONE = Path(__file__).parents[1]


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
    origin = _WHEEL if _WHEEL.is_dir() else _CLONE
    folder.mkdir(parents=True, exist_ok=True)
    _run(folder, "git", "init", "--quiet")
    _run(folder, sys.executable, "-m", "dvc", "init", "--quiet")
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin / name, folder / name)
    (folder / CODE).symlink_to(_code())


def follow_code(root: Path) -> None:
    """Let a project's link show the code that runs, should that have moved since."""
    link = root / CODE
    if link.is_symlink() and link.resolve() != _code():
        beside = root / f".{CODE}-{os.getpid()}"
        beside.symlink_to(_code())
        beside.replace(link)  # at once: a project without it, left by a kill, could not be used


def _code() -> Path:
    assert tasks.__file__ is not None
    return Path(tasks.__file__).resolve().parent


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

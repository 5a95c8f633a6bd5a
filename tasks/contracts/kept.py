"""Finished work that is kept outside DVC's outputs, so that nothing finished is done twice.

A trained GAN, or one run of a classifier, is known by a key that hashes all that decides it. Where
more seeds are asked for, those that are there already are taken from here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

_KEY = re.compile("[0-9a-f]{64}")
_WRITING, _SUMS = ".writing-", "kept.json"
_FORGOTTEN = 24 * 3600.0  # seconds after which what a killed process was writing is removed


class Kept:
    """A folder of finished work, one folder a key, bounded in size.

    What was used least recently goes first. Nothing else in the folder is touched. Several
    processes may keep into one folder.

    Args:
        home: the folder, made when something is first kept.
        most_bytes: of all that is kept together; the newest stays even if it alone is more.
    """

    def __init__(self, home: Path, most_bytes: int) -> None:
        self._home, self._most = home.absolute(), most_bytes  # a worker may be elsewhere

    def find(self, key: str) -> Path | None:
        """Return the folder of a key (sha256 as hex), None where nothing is kept under it.

        What was damaged since is removed, and not found.
        """
        folder = self._home / key
        if not folder.is_dir():
            return None
        try:
            if json.loads((folder / _SUMS).read_text(encoding="utf-8")) == _sums(folder):
                os.utime(folder)
                return folder
        except (OSError, ValueError):
            pass
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def add(self, key: str, write: Callable[[Path], object]) -> None:
        """Keep what ``write`` puts into the folder that it is given; whole or not at all."""
        if self.find(key) is not None:
            return
        self._home.mkdir(parents=True, exist_ok=True)
        folder, beside = self._home / key, Path(tempfile.mkdtemp(prefix=_WRITING, dir=self._home))
        try:
            write(beside)
            (beside / _SUMS).write_text(json.dumps(_sums(beside)), encoding="utf-8")
            beside.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first, with the same
                raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        self._make_room(key)

    def _make_room(self, newest: str) -> None:
        for stale in self._home.glob(f"{_WRITING}*"):
            if time.time() - _when(stale) > _FORGOTTEN:
                shutil.rmtree(stale, ignore_errors=True)
        folders = [path for path in self._home.iterdir() if _KEY.fullmatch(path.name)]
        used = 0
        for folder in sorted(folders, key=_when, reverse=True):
            used += _bytes(folder)
            if used > self._most and folder.name != newest:
                shutil.rmtree(folder, ignore_errors=True)


def _sums(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a folder but the one that holds these."""
    sums = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _SUMS:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            sums[path.relative_to(folder).as_posix()] = digest
    return sums


def _when(folder: Path) -> float:
    """Return when a folder was used last; long ago if another process has just removed it."""
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _bytes(folder: Path) -> int:
    """Return the bytes of a folder's files, none if another process has just removed it."""
    try:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except FileNotFoundError:
        return 0


def code_of(stage: str) -> bytes:
    """Return the bytes of all code that decides a stage's outputs, as ``dvc.yaml`` lists it."""
    root = Path(__file__).parents[2]
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    content = b""
    for name in stages[stage]["deps"]:
        path = root / name
        if name.startswith("tasks/"):
            files = [path] if path.is_file() else sorted(path.rglob("*.py"))
            content += b"".join(f"{f.relative_to(root)}\n".encode() + f.read_bytes() for f in files)
    return content

"""Finished work that is kept outside DVC's outputs, so that nothing finished is done twice.

A trained GAN, or one run of a classifier, is known by a key that hashes all that decides it. Where
more seeds are asked for, those that are there already are taken from here.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

_KEY = re.compile("[0-9a-f]{64}")


class Kept:
    """A folder of finished work, one folder a key, bounded in size.

    What was used least recently goes first. Nothing else in the folder is touched.

    Args:
        home: the folder, made when something is first kept.
        most_bytes: of all that is kept together.
    """

    def __init__(self, home: Path, most_bytes: int) -> None:
        self._home, self._most = home, most_bytes

    def find(self, key: str) -> Path | None:
        """Return the folder of a key (sha256 as hex), None where nothing is kept under it."""
        folder = self._home / key
        if not folder.is_dir():
            return None
        os.utime(folder)
        return folder

    def add(self, key: str, write: Callable[[Path], object]) -> None:
        """Keep what ``write`` puts into the folder that it is given; whole or not at all."""
        if self.find(key) is not None:
            return
        beside = self._home / f".writing-{os.getpid()}-{key}"
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        write(beside)
        try:
            beside.rename(self._home / key)
        except OSError:  # another process was first, with the same
            shutil.rmtree(beside, ignore_errors=True)
        self._make_room(key)

    def _make_room(self, newest: str) -> None:
        folders = [path for path in self._home.iterdir() if _KEY.fullmatch(path.name)]
        used = 0
        for folder in sorted(folders, key=os.path.getmtime, reverse=True):
            used += sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            if used > self._most and folder.name != newest:
                shutil.rmtree(folder, ignore_errors=True)


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

"""The pipeline's own ground: no source of images may lie in it, hold it, or be it."""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from tasks.contracts.errors import UserError

_OWN = (".ganlift", ".dvc", ".git", "mlflow")  # states, caches and stores, beside the outputs


def refuse_own_ground(source: Path, root: Path) -> None:
    """Refuse a source that overlaps what the pipeline writes, however its path is spelt.

    Args:
        source: a folder or a file.
        root: the project's folder, which holds ``dvc.yaml``.

    Raises:
        UserError: the source lies in, holds or is an output, a cache or a state, by real path.
    """
    for own in owned(root):
        if _lies_in(source, own):
            word = "is" if _lies_in(own, source) else "lies in"
        elif _lies_in(own, source):
            word = "holds"
        else:
            continue
        raise UserError(
            f"source {source}",
            f"it {word} {os.path.relpath(own, root)}, which the pipeline writes itself",
            "Keep your images elsewhere, data/raw/NAME for example, and give that folder; nothing "
            "was touched",
        )


def owned(root: Path) -> Iterator[Path]:
    """Yield every path that the pipeline writes: outputs of ``dvc.yaml``, caches and states."""
    line = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))
    for variables in line.get("vars", ()):
        yield from (root / path for path in variables["path"].values())
    yield from (root / name for name in _OWN)
    settings = configparser.ConfigParser()
    settings.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    if cache := settings.get("cache", "dir", fallback=""):
        yield (root / ".dvc" / cache)  # relative to the file that names it


def _lies_in(path: Path, folder: Path) -> bool:
    """Tell whether a path is a folder or lies in it, by real path and by what the disk calls it.

    Two names of one folder (a bind mount, a disk that takes ``Data`` for ``data``) have one inode.
    """
    real, top = path.resolve(), folder.resolve()
    if real.is_relative_to(top):
        return True
    if not top.exists():
        return False
    return any(one.exists() and one.samefile(top) for one in (real, *real.parents))

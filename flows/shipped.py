"""The files that ganlift puts into a project, and how they follow the code when it is upgraded.

``ganlift.json`` in the project records them as they were shipped: one that is still like that was
edited by nobody, so the new version takes its place. An edited one stays, and the new version is
written beside it. Of ``params.yaml``, a person's own, new settings alone are added.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console

import tasks
from flows.new_settings import complete, complete_clone
from flows.presets import leaves
from flows.project import run_lock
from tasks.contracts.errors import UserError
from tasks.contracts.outputs import replace_text

CODE = "tasks"  # what dvc.yaml's stages depend on: a link to the code that runs
PARAMS = "params.yaml"
FOLLOWING = (
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    ".dvc/config",
    "mlflow/server.env",
    "data/embedded/digits.yaml",
    "data/embedded/digits_photographed.yaml",
    "data/embedded/digits_rare.yaml",
)
FILES = (PARAMS, *FOLLOWING)
RECORD = Path("ganlift.json")
_BEFORE = Path(__file__).with_name("shipped_before.txt")  # made when there was no record
_WHEEL = Path(__file__).parents[1] / "ganlift_project"  # where a wheel keeps them (pyproject.toml)
_CLONE = Path(__file__).parents[1]


class Record(BaseModel):
    """What ganlift has put into a project.

    Attributes:
        files: sha256 by name.
        settings: dotted keys of ``params.yaml``; None in a project older than this record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    files: dict[str, str] = {}
    settings: tuple[str, ...] | None = None


def put(root: Path) -> None:
    """Put link and files into a new project."""
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_origin() / name, root / name)
    (root / CODE).symlink_to(_code())
    _save(root)


def follow_code(root: Path) -> None:
    """Bring a project's link and files to the code that runs, and say what was changed.

    A clone is its own origin: its settings alone may be older than its code, where a merge kept
    the former file. While a run is at work, all is left as it is.

    Raises:
        UserError: the project's record cannot be read.
    """
    if not (root / CODE).is_symlink():
        _tell(*complete_clone(root / PARAMS))
        return
    if (root / CODE).resolve() != _code():
        beside = root / f".{CODE}-{os.getpid()}"
        beside.symlink_to(_code())
        beside.replace(root / CODE)  # at once: a project without it could not be used
    if _load(root).files != _digests():
        with suppress(UserError), run_lock(root):
            _follow(root, _load(root))
    new = {name: digest for name, digest in _digests().items() if _beside(root, name).is_file()}
    ours = [name for name in new if _digest(_beside(root, name)) == new[name]]
    _tell(*(_difference(root, name) for name in ours))


def _follow(root: Path, record: Record) -> None:
    now, followed, in_the_way = _digests(), list[str](), list[str]()
    for name in FOLLOWING:
        path, new = root / name, (_origin() / name).read_text(encoding="utf-8")
        there, recorded = path.is_file(), record.files.get(name)
        if recorded == now[name] or (there and _digest(path) == now[name]):
            continue
        if there and _digest(path) not in (recorded, *_shipped_before(name)):
            beside = _beside(root, name)
            known = (now[name], recorded, *_shipped_before(name))
            if beside.exists() and not (beside.is_file() and _digest(beside) in known):
                in_the_way.append(beside.name)
            else:
                replace_text(beside, new)
        elif there or recorded is None:  # one that somebody has removed since stays away
            replace_text(path, new)
            followed.append(name)
    if followed:
        _tell(
            f"ganlift was upgraded: {', '.join(followed)} followed it, as nobody had edited "
            f"{'them' if len(followed) > 1 else 'it'}."
        )
    shipped = (_origin() / PARAMS).read_text(encoding="utf-8")
    _tell(*complete(root / PARAMS, shipped, record.settings))
    if in_the_way:  # so it is tried again next time
        _tell(
            f"{', '.join(in_the_way)}: of that name ganlift writes what is new in a file that you "
            "have edited, but this one is not its own. Move it away, then repeat the command."
        )
        return
    _save(root)


def _difference(root: Path, name: str) -> str:
    """Return what a person does about a file of theirs that did not follow."""
    old, new = (
        path.read_text(encoding="utf-8").splitlines() for path in (root / name, _beside(root, name))
    )
    marks = [line[0] for line in difflib.ndiff(old, new)]
    return (
        f"{name}: it was edited here, so it stayed when ganlift was upgraded; the new one has "
        f"{marks.count('+')} lines that it lacks, and lacks {marks.count('-')} of it. Look at "
        f"`diff {name} {name}.new`, take over what you need, then remove {name}.new"
    )


def _beside(root: Path, name: str) -> Path:
    return root / f"{name}.new"


def _shipped_before(name: str) -> list[str]:
    lines = _BEFORE.read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line.endswith(f"  {name}")]


def _origin() -> Path:
    return _WHEEL if _WHEEL.is_dir() else _CLONE


def _code() -> Path:
    assert tasks.__file__ is not None
    return Path(tasks.__file__).resolve().parent


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digests() -> dict[str, str]:
    return {name: _digest(_origin() / name) for name in FILES}


def _load(root: Path) -> Record:
    path = root / RECORD
    try:
        return Record.model_validate_json(path.read_bytes()) if path.is_file() else Record()
    except ValidationError:
        raise UserError(
            str(path),
            "it does not say what ganlift has put into the project",
            "Restore it with `git checkout ganlift.json`, or remove it",
        ) from None


def _save(root: Path) -> None:
    shipped = yaml.safe_load((_origin() / PARAMS).read_text(encoding="utf-8"))
    settings = tuple(key for key, _ in leaves(shipped, ""))
    record = Record(files=_digests(), settings=settings)
    replace_text(root / RECORD, f"{record.model_dump_json(indent=1)}\n")


def _tell(*lines: str) -> None:
    for line in lines:
        Console(stderr=True, highlight=False).print(line, markup=False, soft_wrap=True)

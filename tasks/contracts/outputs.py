"""Outputs of a stage: written aside, put in place when whole, and never over somebody's files.

DVC is told to leave outputs alone (``persist``), since by itself it deletes whatever stands where
an output belongs before a stage begins, photos of a person too, and leaves nothing when the stage
fails. So a stage writes below ``.ganlift/aside``. When it has succeeded, its outputs take their
places one rename at a time, over files that it wrote itself and over nothing else: those in its
ledger, ``.ganlift/written/STAGE.json``, or in ``dvc.lock``. Killed meanwhile, it leaves a list of
those that are on their way, and the next command lets them arrive.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, TypeVar

import yaml

from tasks.contracts.errors import UserError

OUTPUT, EXPLANATION = "output", "explanation"
Output = Annotated[Path, OUTPUT]
"""A path that a stage writes."""
Explanation = Annotated[Path, OUTPUT, EXPLANATION]
"""One that is put in place also when the stage fails with a `UserError`: it tells why."""

ASIDE, WRITTEN = Path(".ganlift/aside"), Path(".ganlift/written")
LOCKS = (Path("dvc.lock"), Path("folds/dvc.lock"))  # their paths begin at the project's root
KEPT_LOCKS = Path(".ganlift/locks")
MOVING = "moving.json"  # beside outputs aside: those that are taking their places, by their stage
_RESTORED = "restored"  # no stage's: what a run of before has left
_Content = TypeVar("_Content")
_Entries = dict[str, list[tuple[int, int, str]]]
_Ledger = dict[str, _Entries]
"""By output, then by file in it ("" is the output itself): bytes, mtime in ns, md5.

Two such entries while an output takes its place: what was there before, and what will be.
"""


@contextmanager
def published(
    stage: str, outputs: Mapping[str, Path], telling: Sequence[str] = ()
) -> Iterator[dict[str, Path]]:
    """Yield a path aside for each output; put them in place when the block has succeeded.

    When it raises a `UserError`, those named in ``telling`` take their places if they were
    written, and the others stay as they were before. Whatever else ends the block (a signal, a
    killed process) leaves everything as it was.

    Args:
        stage: its name.
        outputs: by name, where each belongs, relative to the project's root, the working folder.
        telling: names of the outputs that explain a failure.

    Raises:
        UserError: something stands in the place of an output that the pipeline did not write.
        FileNotFoundError: the block has succeeded without writing an output, which is a bug.
    """
    for path in outputs.values():
        refuse_foreign(path, stage)
    take_places()
    keep_locks()
    aside = ASIDE / stage
    _remove(aside)
    places = {name: aside / path for name, path in outputs.items()}
    for place in places.values():
        place.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield places
    except UserError as error:
        _publish(aside, dict.fromkeys((outputs[name] for name in telling), stage))
        raise _as_shown(error, aside) from None
    for place in places.values():
        place.stat()
    _publish(aside, dict.fromkeys(outputs.values(), stage))
    _remove(aside)


@contextmanager
def restored(outputs: Mapping[Path, str], settings: Sequence[Path]) -> Iterator[Path]:
    """Yield a folder aside; what is written there takes its place when the block has succeeded.

    Outputs of several stages, the settings that they were made with and DVC's lock go together:
    however the process ends, the next command finds all that was before or all that was written.

    Args:
        outputs: of which stage each is, by where it belongs.
        settings: files that a person may have written; the caller has seen that their present
            content is kept elsewhere. One that changes from now on is not written over.

    Raises:
        UserError: something stands in the place of an output that the pipeline did not write.
    """
    for path, stage in outputs.items():
        refuse_foreign(path, stage)
    take_places()
    keep_locks()
    aside = ASIDE / _RESTORED
    _remove(aside)
    aside.mkdir(parents=True)
    _save_ledger(_RESTORED, {str(path): _entries(path) for path in settings})
    yield aside
    _publish(aside, {**outputs, **dict.fromkeys(settings, _RESTORED)})
    _remove(aside)
    keep_locks()


def shown(path: Path) -> Path:
    """Return where an output belongs, given the path aside at which a stage writes it."""
    return Path(*path.parts[3:]) if path.parts[:2] == ASIDE.parts else path


def refuse_foreign(path: Path, stage: str) -> None:
    """Refuse to write over what the pipeline did not write, or somebody has changed since.

    Raises:
        UserError: names the first such file.
    """
    known = _ledger(stage).get(str(path), {})
    for name, file in sorted(_files(path).items()):
        if not _is_known(file, known.get(name, [])):
            if (locked := _locked(stage, path)) is not None and _digest(path) == locked:
                return
            raise UserError(
                str(file),
                f"it stands where the pipeline writes {path}, but the pipeline did not write it, "
                "or it was changed since",
                f"Move {path} away, then run again; nothing was touched",
            )


def take_places() -> None:
    """Let outputs arrive whose stage was killed while they took their places.

    A stage at work is left alone. What somebody has put in an output's place since stays; the
    stage refuses it when it runs next.
    """
    for moving in sorted(ASIDE.glob(f"*/{MOVING}")):
        with suppress(BlockingIOError, FileNotFoundError), moving.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            owners: dict[str, str] | list[str] = _read_json(moving, [])
            if isinstance(owners, list):  # left before an upgrade, it names outputs alone
                owners = dict.fromkeys(owners, moving.parent.name)
            for name, stage in owners.items():
                with suppress(UserError):
                    refuse_foreign(path := Path(name), stage)
                    _take_place(moving.parent / path, path)
            moving.unlink()


def keep_locks() -> None:
    """Keep copies of DVC's locks, each of which it empties before it writes it anew."""
    for lock in LOCKS:
        if lock.is_file() and not _is_broken(lock):
            replace_text(KEPT_LOCKS / lock, lock.read_text(encoding="utf-8"))


def is_lock_broken() -> bool:
    """Tell whether a lock breaks off in a line: DVC was killed as it wrote, or writes now."""
    return any(map(_is_broken, LOCKS))


def restore_locks() -> None:
    """Put copies of broken locks back; call while DVC writes nothing."""
    for lock in LOCKS:
        if _is_broken(lock) and (KEPT_LOCKS / lock).is_file():
            replace_text(lock, (KEPT_LOCKS / lock).read_text(encoding="utf-8"))


def lock_of(path: Path) -> Path:
    """Return the lock that records an output."""
    return LOCKS[path.is_relative_to(LOCKS[1].parent)]


def replace_text(path: Path, text: str) -> None:
    """Write a file whole: whoever reads it sees the old text or the new one. Its mode stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    beside.write_text(text, encoding="utf-8", newline="")
    if path.exists():
        beside.chmod(path.stat().st_mode)
    beside.replace(path)


def _is_broken(lock: Path) -> bool:
    return lock.is_file() and not lock.read_bytes().endswith(b"\n")


def _publish(aside: Path, owners: Mapping[Path, str]) -> None:
    """Move what was written aside into place; it is in its stage's ledger before it is there."""
    made = {path: _entries(aside / path) for path in owners if (aside / path).exists()}
    for path in made:
        refuse_foreign(path, owners[path])  # a run may take hours
    stages = {owners[path] for path in made}
    before = {stage: _ledger(stage) for stage in stages}
    after = {stage: {str(p): made[p] for p in made if owners[p] == stage} for stage in stages}
    for stage, new in after.items():
        both = {path: _joined(before[stage].get(path, {}), new[path]) for path in new}
        _save_ledger(stage, before[stage] | both)
    moving = aside / MOVING
    with moving.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go when this process ends, however it ends
        file.write(json.dumps({str(path): owners[path] for path in made}))
        file.flush()
        for path in made:
            _take_place(aside / path, path)
        moving.unlink()
    for stage, new in after.items():
        _save_ledger(stage, before[stage] | new)


def _take_place(place: Path, path: Path) -> None:
    """Move an output from aside into its place, or go on where an earlier try was killed.

    It comes beside its place first, by a copy where that is on another disk: each step after
    that is one rename, and before each of them the old or the new output is whole.
    """
    arriving, leaving = (path.with_name(f".{path.name}.{way}") for way in ("arriving", "leaving"))
    if place.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(arriving)  # a copy that broke off
        try:
            place.rename(arriving)
        except OSError:  # on another disk
            (shutil.copytree if place.is_dir() else shutil.copy2)(place, arriving)
    if arriving.exists():
        if path.is_dir():
            _remove(leaving)
            path.replace(leaving)
        arriving.replace(path)
    _remove(leaving)


def _entries(path: Path) -> _Entries:
    return {name: [(*_stat(file), _md5(file))] for name, file in _files(path).items()}


def _joined(before: _Entries, made: _Entries) -> _Entries:
    return {name: [*before.get(name, []), *made.get(name, [])] for name in {*before, *made}}


def _files(path: Path) -> dict[str, Path]:
    """Files of an output by their name in it; of a file or a link, itself under ""."""
    if path.is_symlink() or path.is_file():
        return {"": path}
    found = (file for file in path.rglob("*") if file.is_symlink() or not file.is_dir())
    return {file.relative_to(path).as_posix(): file for file in found}


def _is_known(file: Path, entries: Sequence[tuple[int, int, str]]) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    size, changed = _stat(file)
    return any(
        size == written and (changed == when or _md5(file) == md5) for written, when, md5 in entries
    )


def _stat(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def _md5(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def _digest(path: Path) -> str | None:
    """Return DVC's md5 of a file or a folder; None of what holds a link or is something else."""
    files = _files(path)
    if any(file.is_symlink() or not file.is_file() for file in files.values()):
        return None
    if "" in files:
        return _md5(path)
    listing = [{"md5": _md5(file), "relpath": name} for name, file in sorted(files.items())]
    return hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False).hexdigest() + ".dir"


def _locked(stage: str, path: Path) -> str | None:
    """Return the md5 of an output that ``dvc.lock`` records, None where it records none."""
    for lock in LOCKS:
        if not lock.is_file():
            continue
        stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
        for name, of in stages.items():
            if name.partition("@")[0] == stage:  # "retrain@2" is that of fold 2
                for out in of.get("outs", []):
                    if out["path"] == str(path):
                        return str(out["md5"])
    return None


def _ledger(stage: str) -> _Ledger:
    return _read_json(WRITTEN / f"{stage}.json", {})  # if none, `dvc.lock` alone says what is ours


def _save_ledger(stage: str, content: _Ledger) -> None:
    replace_text(WRITTEN / f"{stage}.json", json.dumps(content, indent=1))


def _read_json(path: Path, otherwise: _Content) -> _Content:
    try:
        content: _Content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return otherwise
    return content


def _remove(path: Path) -> None:
    """Remove what a stage has written aside, or on its way from there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _as_shown(error: UserError, aside: Path) -> UserError:
    """Return the error with the places of outputs in place of the paths aside."""
    texts = (error.thing, error.reason, error.mend)
    return UserError(*(text.replace(f"{aside}{os.sep}", "") for text in texts))

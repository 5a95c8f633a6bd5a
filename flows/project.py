"""Where the project is, and who is at work in it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from tasks.contracts.errors import UserError

LOCK = Path(".ganlift/run.lock")
SCHEDULE_LOCK = Path(".ganlift/schedule.lock")
NOTES = Path(".ganlift/flow_runs")  # one for each run of the flow while it works
LEAST_FREE = 100_000_000  # bytes: with less, Prefect's server alone may not come up
_held: set[Path] = set()  # by this process


def find_root(start: Path) -> Path:
    """Return the nearest folder at or above ``start`` that holds ``dvc.yaml``.

    Raises:
        UserError: there is none.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise UserError(
        str(start),
        "neither this folder nor one above it holds dvc.yaml, so it is no ganlift project",
        "Make one with `ganlift init DIR`, or enter yours",
    )


def enter_project() -> Path:
    """Go to the project's folder, put in order what a killed command left, and return the folder.

    Raises:
        UserError: as `find_root`, or what was left cannot be put in order.
    """
    root = find_root(Path.cwd())
    os.chdir(root)
    from flows.mending import mend
    from flows.shipped import follow_code

    follow_code(root)
    mend(root)
    return root


def run_lock(root: Path) -> AbstractContextManager[None]:
    """Hold the project alone; the kernel lets go when the process ends, however it ends.

    A process that holds it enters again at once: `ganlift run` holds it from before it writes
    params.yaml until the flow has ended, which asks for it too.

    Raises:
        UserError: another run holds it, or the disk has no room for one.
    """
    return _alone(root, LOCK, "run")


def schedule_lock(root: Path) -> AbstractContextManager[None]:
    """Serve the project's schedule alone, as `run_lock` holds a run.

    Raises:
        UserError: another schedule is served here.
    """
    return _alone(root, SCHEDULE_LOCK, "schedule")


@contextmanager
def _alone(root: Path, lock: Path, what: str) -> Iterator[None]:
    path = root / lock
    if path in _held:
        yield
        return
    _see_room(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise UserError(
                str(root),
                f"another {what} is at work here (process {holder})",
                f"Wait until it ends, or stop it with `kill {holder}`",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        _held.add(path)
        try:
            yield
        finally:
            _held.discard(path)


def _see_room(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < LEAST_FREE:
        raise UserError(
            str(root),
            f"the disk has {free / 1e6:.0f} MB left, and a run needs {LEAST_FREE / 1e6:.0f} MB",
            "Free some space; `du -sh .ganlift .dvc/cache mlflow` shows what the project takes",
        )

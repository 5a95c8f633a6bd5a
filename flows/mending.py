"""What a killed command left half done, put right before the next one begins."""

from __future__ import annotations

import fcntl
import json
from contextlib import suppress
from pathlib import Path

from flows.project import run_lock
from tasks.contracts.errors import UserError
from tasks.contracts.outputs import is_lock_broken, restore_locks, take_places

DVC_LOCK = Path(".dvc/tmp/lock")
DVC_HOLDS = Path(".dvc/tmp/rwlock")  # which of its processes reads or writes which path


def mend(root: Path) -> None:
    """Let outputs on their way arrive, and see that DVC's books are whole.

    Costs a few looks at the disk where nothing was killed. Works in the project's folder, as the
    outputs do; what is at work there is left alone.
    """
    take_places()
    if not is_lock_broken() and not _are_holds_broken():
        return
    with suppress(UserError, BlockingIOError), run_lock(root):
        DVC_LOCK.parent.mkdir(parents=True, exist_ok=True)
        with DVC_LOCK.open("a", encoding="utf-8") as file:  # DVC holds it whenever it writes them
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            restore_locks()
            if _are_holds_broken():
                DVC_HOLDS.unlink()


def _are_holds_broken() -> bool:
    """Tell whether the file breaks off, or names as holders only processes that are gone.

    DVC drops those that it does not find, but takes any process for one of its own that was given
    a dead one's number since, as happens where a machine or a container starts again.
    """
    try:
        written = DVC_HOLDS.stat().st_mtime
        holds = json.loads(DVC_HOLDS.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    readers = [one for holders in holds.get("read", {}).values() for one in holders]
    holders = {int(one["pid"]) for one in (*readers, *holds.get("write", {}).values())}
    return bool(holders) and not any(_may_hold(one, written) for one in holders)


def _may_hold(number: int, written: float) -> bool:
    """Tell whether a process of this number is one of DVC, or old enough to use it as a library.

    Args:
        number: of the process.
        written: when it may have written the file, in seconds since 1970.
    """
    import psutil  # type: ignore[import-untyped]

    try:
        process = psutil.Process(number)
        if process.create_time() <= written + 1.0:  # the kernel counts in steps
            return True
        words = process.cmdline()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
    return any(Path(word).name in ("dvc", "ganlift") for word in words)

"""What a killed command left half done, put right before the next one begins."""

from __future__ import annotations

import fcntl
from contextlib import suppress
from pathlib import Path

from flows.project import run_lock
from tasks.contracts.errors import UserError
from tasks.contracts.outputs import is_lock_broken, restore_lock, take_places

DVC_LOCK = Path(".dvc/tmp/lock")


def mend(root: Path) -> None:
    """Let outputs on their way arrive, and see that ``dvc.lock`` is whole.

    Costs two looks at the disk where nothing was killed. Works in the project's folder, as the
    outputs do; what is at work there is left alone.
    """
    take_places()
    if is_lock_broken():
        with suppress(UserError, BlockingIOError), run_lock(root):
            DVC_LOCK.parent.mkdir(parents=True, exist_ok=True)
            with DVC_LOCK.open("a", encoding="utf-8") as file:  # DVC takes it as we do
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                restore_lock()

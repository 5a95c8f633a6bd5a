"""Where errors leave a command: one line for what a person can mend, a trace for a bug."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.contracts.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_NOTHING = 1_000_000  # bytes
# How libraries say it that raise no OSError; of the numbers, those that nothing else is told by.
_SAID = {
    **{os.strerror(number).lower(): number for number in (*_FULL, errno.EROFS)},
    "database or disk is full": errno.ENOSPC,  # SQLite
    "attempt to write a readonly database": errno.EROFS,
    "unable to open database file": errno.EACCES,
}
_MENDS = {
    **dict.fromkeys(
        _FULL,
        "Free some space (`du -sh .ganlift .dvc/cache mlflow` shows what the project takes), then "
        "run again: what was finished is kept",
    ),
    **dict.fromkeys(
        _CLOSED, "Change its permissions, or work in a copy of the project where you may write"
    ),
}


@contextmanager
def boundary() -> Iterator[None]:
    """End the process with status 1 and one line, where the block raises what can be mended."""
    try:
        yield
    except Exception as error:
        told = error if isinstance(error, UserError) else disk_error(error)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr, flush=True)
        sys.exit(1)


def disk_error(error: BaseException) -> UserError | None:
    """Return what a person is told of a disk that is full or closed to them, None of all else.

    It may lie below what other libraries made of it, so the causes are looked through too. Where
    the disk is full now, that is the cause of whatever failed: a server that cannot write says
    no more than that it failed.
    """
    here = str(Path.cwd())
    one: BaseException | None = error
    while one is not None:
        if isinstance(one, OSError) and (
            one.errno in _FULL or (one.errno in _CLOSED and one.filename)
        ):
            return _told(one.errno, str(one.filename or here))
        if found := disk_error_said(str(one), here):
            return one if isinstance(one, UserError) else found
        one = one.__cause__ or one.__context__
    full = shutil.disk_usage(here).free < _NOTHING
    return _told(errno.ENOSPC, here) if full else None


def disk_error_said(text: str, thing: str) -> UserError | None:
    """Return what a person is told of a disk, where a library's message speaks of it."""
    text = text.lower()
    number = next((number for said, number in _SAID.items() if said in text), None)
    return None if number is None else _told(number, thing)


def _told(number: int, thing: str) -> UserError:
    return UserError(thing, os.strerror(number).lower(), _MENDS[number])

"""A command as a child process whose lines are seen as they come, and that leaves no orphan."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

from tasks.contracts.killed import held
from tasks.contracts.parent import die_with_parent

SECONDS_TO_STOP = 3.0
SECONDS_BETWEEN_LOOKS = 1.0  # at whether it is there and what memory it holds
SECONDS_FOR_OTHERS = 1.0  # that outlive it: to read on, and to tidy up


def environment() -> dict[str, str]:
    """Return ours, with this interpreter's ``python`` and ``dvc`` first on ``PATH``.

    DVC tells its makers of no command: ``dvc init`` would, before a project can say otherwise.
    """
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PATH")])])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1"}


@contextmanager
def child(
    command: Sequence[str], output: int | IO[bytes], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command`` in a process group of its own, which has ended when the block has.

    Whatever ends the block early (a timeout, a cancelled run, Ctrl-C) ends the whole group, and
    if we are killed outright the kernel ends the child. ``output`` takes stdout and stderr,
    ``folder`` is where it runs.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment(),
        start_new_session=True,
        preexec_fn=partial(die_with_parent, os.getpid()),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            # As Ctrl-C in a terminal would: DVC gives its locks back, a stage closes its run.
            _signal_group(process, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=SECONDS_TO_STOP)
        _signal_group(process, signal.SIGKILL)  # also workers that outlived their parent
        process.wait()
        if process.stdout:
            process.stdout.close()


def lines(
    process: subprocess.Popen[bytes], meanwhile: Callable[[], None] = lambda: None
) -> Iterator[str]:
    """Yield what the process prints, a line at a time, until it ends.

    It, and not the last that holds its output: what outlives it is ended a moment later, and one
    that has left its group is not waited for.

    Args:
        process: a `child` whose output is a pipe.
        meanwhile: is called every second or so.
    """
    rest = b""
    for part in _parts(process, meanwhile):
        *whole, rest = (rest + part).split(b"\n")
        yield from (_text(line) for line in whole)
    if rest:
        yield _text(rest)


def _parts(process: subprocess.Popen[bytes], meanwhile: Callable[[], None]) -> Iterator[bytes]:
    """Yield what is read from the process until its output ends or it has, at the latest."""
    assert process.stdout is not None
    pipe, until = process.stdout.fileno(), float("inf")
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while time.monotonic() < until + SECONDS_TO_STOP:
            if selector.select(timeout=SECONDS_BETWEEN_LOOKS):
                part = os.read(pipe, 2**16)
                if not part:
                    return
                yield part
            meanwhile()
            if process.poll() is None:
                continue
            until = min(until, time.monotonic() + SECONDS_FOR_OTHERS)
            if time.monotonic() >= until:
                _signal_group(process, signal.SIGKILL)


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="replace").rstrip()


class Memory:
    """The most bytes of memory that a child and what it started were seen to hold at once.

    Args:
        process: a `child`, whose session is its own.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._session, self._last, self.most = process.pid, 0.0, 0

    def look(self) -> None:
        """Look, unless that was done a moment ago."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LOOKS:
            self._last = time.monotonic()
            self.most = max(self.most, held(self._session))


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)

"""A command as a child process whose lines are seen as they come, and that leaves no orphan."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tasks.contracts.stage import die_with_parent

SECONDS_TO_STOP = 3.0


def environment() -> dict[str, str]:
    """Return ours, with this interpreter's ``python`` and ``dvc`` first on ``PATH``."""
    here = str(Path(sys.executable).parent)
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PATH")])])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


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
        preexec_fn=die_with_parent,
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


def lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Yield what the process prints, a line at a time, until it ends."""
    assert process.stdout is not None
    for raw in process.stdout:
        yield raw.decode("utf-8", errors="replace").rstrip()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)

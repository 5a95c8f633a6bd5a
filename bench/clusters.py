"""A Dask cluster of separate processes on loopback, to test with and to measure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tasks.contracts.parent import die_with_parent

ROOT = Path(__file__).parents[1]


@contextmanager
def dask_cluster(folder: Path, workers: int) -> Iterator[str]:
    """Yield the address of a scheduler with workers; in the end all are gone."""
    said = folder / "scheduler.json"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment |= {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    scheduler = _start(
        ["scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(said)],
        environment,
        folder,
    )
    started = [scheduler]
    try:
        end = time.monotonic() + 60
        while not said.is_file() or not (text := said.read_text().strip()).endswith("}"):
            assert scheduler.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        address: str = json.loads(text)["address"]
        own = ["worker", address, "--nthreads", "1", "--no-nanny", "--local-directory", str(folder)]
        started += [_start(own, environment, folder) for _ in range(workers)]
        yield address
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


def _start(
    command: list[str], environment: Mapping[str, str], folder: Path
) -> subprocess.Popen[bytes]:
    with (folder / f"{command[0]}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *command, "--no-dashboard"],
            env=dict(environment),
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=log,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )

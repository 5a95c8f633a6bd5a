"""What a killed DVC says that it holds blocks nobody; what a living one holds stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.mending import DVC_HOLDS, mend


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    DVC_HOLDS.parent.mkdir(parents=True)
    return tmp_path


@pytest.fixture(params=["dvc", "editor", "notebook"])
def living(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """A process that looks like DVC's, one that has a dead one's number by now, or any other."""
    command = [sys.executable, "-c", "input()", f"bin/{request.param}", "repro"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield request.param, process.pid
        process.kill()


def _held(*numbers: int) -> str:
    """DVC's file, where each of these processes writes a path and reads another."""
    held = [{"pid": number, "cmd": "dvc repro"} for number in numbers]
    return json.dumps({"write": {f"/out{one['pid']}": one for one in held}, "read": {"/dep": held}})


def test_holds_are_dropped_where_no_process_of_dvc_has_them(
    root: Path, living: tuple[str, int]
) -> None:
    name, number = living
    DVC_HOLDS.write_text(_held(number, 2**22 + 1))  # beside one that no system gives
    if name != "notebook":  # which may have written the file, by DVC's library
        os.utime(DVC_HOLDS, (0, time.time() - 60))  # before these processes began
    mend(root)
    assert DVC_HOLDS.exists() == (name != "editor")


def test_a_file_that_names_no_holder_is_left_alone(root: Path) -> None:
    DVC_HOLDS.write_text('{"write": {}}')
    mend(root)
    assert DVC_HOLDS.exists()

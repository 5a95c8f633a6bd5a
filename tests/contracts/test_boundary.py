from __future__ import annotations

import errno
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tasks.contracts.boundary import boundary
from tasks.contracts.errors import UserError

REPOSITORY = Path(__file__).parents[2]
FULL = "no space left on device. Free some space"
CLOSED = "read-only file system. Change its permissions, or work in a copy of the project"


class _FromRustError(Exception):
    """As safetensors has one."""


def _below(cause: Exception) -> Exception:
    """Return an error that a library made of another."""
    error = RuntimeError("it did not work")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("thing", "reason", "Mend"), "thing: reason. Mend."),
        (OSError(errno.ENOSPC, "No space left on device", "runs.parquet"), f"runs.parquet: {FULL}"),
        (OSError(errno.ENOSPC, "No space left on device"), f"HERE: {FULL}"),
        (OSError(errno.EROFS, "Read-only file system", ".ganlift/x"), f".ganlift/x: {CLOSED}"),
        (PermissionError(errno.EACCES, "denied", "a/1.png"), "a/1.png: permission denied. Change"),
        (_FromRustError("I/O error: No space left on device (os error 28)"), f"HERE: {FULL}"),
        (_below(sqlite3.OperationalError("database or disk is full")), f"HERE: {FULL}"),
        (
            OperationalError(
                "INSERT", {}, sqlite3.OperationalError("attempt to write a readonly database")
            ),
            f"HERE: {CLOSED}",
        ),
        (_below(UserError("stage x", "no space left on device", "Free some")), "stage x: no space"),
    ],
)
def test_what_can_be_mended_is_one_line(
    error: Exception,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught, boundary():
        raise error
    assert caught.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: {said.replace('HERE', str(tmp_path))}")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError("division by zero"), ConnectionRefusedError(errno.ECONNREFUSED, "refused")],
)
def test_a_bug_keeps_its_trace(error: Exception) -> None:
    with pytest.raises(type(error)), boundary():
        raise error


def test_on_a_full_disk_whatever_fails_is_told_by_that(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage("/")._replace(free=4096)
    monkeypatch.setattr("tasks.contracts.boundary.shutil.disk_usage", lambda _: usage)
    with pytest.raises(SystemExit), boundary():
        raise RuntimeError("500 Internal Server Error")
    assert FULL in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_stage_on_a_full_disk_says_so(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("{seed: 1, generate: {per_class: 3, per_needed: 1.0}}")
    (tmp_path / "generate.py").write_text(
        "from pathlib import Path\n"
        "from tasks.contracts.params.generate import GenerateParams\n"
        "from tasks.contracts.stage import stage_main\n"
        "def run(*, params: GenerateParams, seed: int) -> None:\n"
        "    Path('/dev/full').write_bytes(bytes(100_000))\n"
        "stage_main(run)\n"
    )
    done = subprocess.run(
        [sys.executable, "generate.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert FULL in done.stderr
    assert done.stderr.count("\n") == 1

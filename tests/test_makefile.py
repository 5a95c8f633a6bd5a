from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"


@pytest.mark.parametrize(("interpreter", "fine"), [("/gone/.venv/bin/python", False), (None, True)])
def test_an_environment_that_was_moved_is_told_in_a_line(
    interpreter: str | None, fine: bool, tmp_path: Path
) -> None:
    shutil.copy(MAKEFILE, tmp_path)
    scripts = tmp_path / ".venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "dvc").write_text(f"#!{interpreter or sys.executable}\n")
    done = subprocess.run(["make", "help"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode == 0) == fine
    assert fine or done.stderr.count("\n") == 1
    assert fine or "made in another folder. Remove it with `rm -rf .venv`" in done.stderr

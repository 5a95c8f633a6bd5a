from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.contracts import killed as told
from tasks.contracts.killed import held, killed, memory

MEGABYTE = 2**20
HOLDER = """
import os, subprocess, sys
sleeper = "import os, sys; taken = bytearray(b'x' * 2**20 * 50); os.write(1, b'.'); input()"
held = [subprocess.Popen([sys.executable, "-c", sleeper]) for _ in range(2)]
[one.wait() for one in held]
"""


def test_a_kill_is_told_with_the_memory_and_the_mend() -> None:
    line = str(killed("stage merge", signal.SIGKILL, "Lower it, then run again", 3_210_000_000))
    has = f"{memory() / 1e9:.1f} GB"
    assert line == (
        "stage merge: killed by signal 9; was the memory exhausted? It was seen to hold 3.2 GB; "
        f"this machine has {has}. Lower it, then run again."
    )
    assert f"exhausted? This machine has {has}" in str(killed("it", None, "Lower it"))


@pytest.mark.parametrize(("by", "name"), [(11, "SIGSEGV"), (15, "SIGTERM"), (99, "of no name")])
def test_another_signal_is_not_put_down_to_memory(by: int, name: str) -> None:
    line = str(killed("stage merge", by, "Lower it"))
    assert line == f"stage merge: ended by signal {by} ({name}). Run it again."


def test_a_limit_below_the_machines_memory_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory() <= machine
    monkeypatch.setattr(told, "_CONTROL", tmp_path)
    assert memory() == machine
    (tmp_path / "memory.max").write_text("123456789\n")  # of the outermost group
    assert memory() == 123456789
    (tmp_path / "memory.max").write_text("max\n")
    assert memory() == machine


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_session_holds_is_the_sum_of_its_processes() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as leader:
        assert leader.stdout
        assert leader.stdout.read(2) == b".."  # both have it
        assert 100 * MEGABYTE < held(leader.pid) < 200 * MEGABYTE
        os.killpg(leader.pid, signal.SIGKILL)
    assert held(os.getsid(0)) != held(-1) == 0

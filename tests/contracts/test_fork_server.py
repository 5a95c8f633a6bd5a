"""The server that forks worker processes, itself a fork of the stage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
ROOT = Path(__file__).parents[2]
# A stage whose import is noted, and what its workers are: children of which command, of which
# children of their own.
STAGE = """
import os, threading, time
from pathlib import Path
from tasks.contracts.fork_server import fork_server, fork_the_server
from tasks.contracts.workers import spread

with open("imports.txt", "a") as noted:
    noted.write("imported\\n")


def parent(number):
    return Path(f"/proc/{os.getppid()}/cmdline").read_text(), os.getppid()


def nested(queue):
    child = fork_server().Process(target=queue.put, args=("from below",))
    child.start()
    child.join(60)


if __name__ == "__main__":
    mine = Path("/proc/self/cmdline").read_text()
    BEFORE
    fork_the_server()
    AFTER
"""


def started(folder: Path, before: str, after: str) -> subprocess.Popen[str]:
    """Run a stage that does this before and after the server is forked."""
    code = STAGE.replace("BEFORE", before).replace("AFTER", after.replace("\n", "\n    "))
    (folder / "stand_in.py").write_text(code)
    return subprocess.Popen(
        [sys.executable, "-u", "stand_in.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "LOKY_MAX_CPU_COUNT": "2"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def said_by(folder: Path, before: str, after: str) -> str:
    with started(folder, before, after) as stage:
        said, _ = stage.communicate(timeout=120)
    assert stage.returncode == 0
    return said


WHOSE = """
parents = list(spread(parent, [(n,) for n in range(4)]))
print(all(command == mine and above != os.getpid() for command, above in parents))
"""


def test_workers_come_from_a_fork_of_the_stage(tmp_path: Path) -> None:
    assert said_by(tmp_path, "pass", WHOSE) == "True\n"


def test_where_a_thread_runs_the_server_is_a_process_of_its_own_imports(tmp_path: Path) -> None:
    busy = "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    assert said_by(tmp_path, busy, WHOSE) == "False\n"


def test_a_worker_starts_processes_of_its_own(tmp_path: Path) -> None:
    after = """
queue = fork_server().Queue()
child = fork_server().Process(target=nested, args=(queue,))
child.start()
print(queue.get(timeout=90))
child.join()
"""
    assert said_by(tmp_path, "pass", after) == "from below\n"


def test_what_the_stage_had_open_is_closed_in_the_server(tmp_path: Path) -> None:
    after = (
        WHOSE
        + """
from multiprocessing import forkserver
server = Path("/proc") / str(forkserver._forkserver._forkserver_pid)
print([name for name in map(os.readlink, (server / "fd").iterdir()) if "held" in name])
"""
    )
    assert said_by(tmp_path, 'held = open("held.txt", "w")', after) == "True\n[]\n"


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_with_the_stage(tmp_path: Path, ended_by: signal.Signals) -> None:
    stage = started(tmp_path, "pass", WHOSE + "time.sleep(600)")
    assert stage.stdout
    with stage.stdout as said:
        assert said.readline() == "True\n"
        stage.send_signal(ended_by)
        stage.wait()
    deadline = time.monotonic() + 10
    while left := of_session(stage.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def of_session(leader: int) -> list[int]:
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            state = (one / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(state[3]) == leader and state[0] != "Z":
            found.append(int(one.name))
    return found

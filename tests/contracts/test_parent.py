from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
REPOSITORY = Path(__file__).parents[2]
PARENT = """
import os, subprocess, sys, time
child = (
    "import signal, time; from tasks.contracts.parent import die_with_parent; "
    "die_with_parent({asked}); print('up', flush=True); time.sleep(60)"
)
subprocess.Popen([sys.executable, "-c", child.format(me=os.getpid())])
time.sleep(60)
"""
STARTS = """
import subprocess, sys, time
subprocess.Popen({command!r})
time.sleep(60)
"""
LATE = """
import os, sys, time
from tasks.contracts.parent import die_with_parent
while os.getppid() == int(sys.argv[1]):
    time.sleep(0.01)
die_with_parent({asked})
print("still there")
"""
ON_IMPORT = """
import sys, time
if {where!r} in " ".join(sys.orig_argv):
    print("up", flush=True)
    time.sleep(60)
"""
SERVED = """
import tasks.contracts.params.reading
from tasks.contracts.fork_server import fork_server
fork_server().Process(target=print).start()
"""


def ended_with(parent: subprocess.Popen[str]) -> bool:
    """Kill the parent once its child is up; tell whether the child has ended too."""
    assert parent.stdout
    with parent.stdout as shared:  # both write to it: it ends when both have
        assert shared.readline() == "up\n"
        parent.kill()
        parent.wait()
        ended, _, _ = select.select([shared], [], [], 3)
        return bool(ended) and shared.read() == ""


def started(code: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | environment,
    )


@pytest.mark.parametrize(
    "asked", ["", "by=signal.SIGTERM", "parent={me}", "parent={me}, by=signal.SIGTERM"]
)
def test_a_killed_parent_takes_its_child_with_it(asked: str) -> None:
    assert ended_with(started(PARENT.format(asked=asked)))


@pytest.mark.parametrize("asked", ["", "int(sys.argv[1])"])
def test_who_asks_after_the_parent_is_gone_ends_at_once(asked: str) -> None:
    leader = subprocess.Popen(
        ["sh", "-c", '"$0" -c "$1" $$ & sleep 0.2', sys.executable, LATE.format(asked=asked)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        start_new_session=True,  # who adopts the orphan is of another
    )
    said, _ = leader.communicate(timeout=20)
    assert said == ""


def test_a_child_that_began_its_own_session_is_no_orphan() -> None:
    code = "from tasks.contracts.parent import die_with_parent; die_with_parent(); print('up')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        start_new_session=True,
    )
    assert done.stdout == "up\n"


def stand_in(folder: Path, module: str, where: str) -> dict[str, str]:
    """Put a module before the installed one that never gets imported where it is asked to wait."""
    (folder / f"{module}.py").write_text(ON_IMPORT.format(where=where))
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)])}


def test_a_stage_is_bound_to_its_parent_before_its_imports(tmp_path: Path) -> None:
    path = stand_in(tmp_path, "numpy", "tasks.retrain")
    code = STARTS.format(command=[sys.executable, "-m", "tasks.retrain"])
    assert ended_with(started(code, **path))


def test_a_fork_server_is_bound_to_its_parent_before_its_imports(tmp_path: Path) -> None:
    path = stand_in(tmp_path, "yaml", "multiprocessing.forkserver")
    assert ended_with(started(SERVED, **path))


def test_what_imports_the_tasks_is_not_bound_to_its_parent() -> None:
    code = f"import tasks.contracts.stage\n{LATE.replace('die_with_parent({asked})', 'pass')}"
    leader = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" $$ & sleep 2', sys.executable, code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    assert leader.stdout == "still there\n"

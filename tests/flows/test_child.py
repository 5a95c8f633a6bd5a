from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from flows.child import Memory, child, environment, lines
from flows.project import find_root, run_lock
from tasks.contracts.errors import UserError

FAMILY = """
import subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(grandchild.pid, flush=True)
time.sleep(600)
"""
CHATTERER = """
import subprocess, sys
code = (
    "import itertools, os, time; os.setsid(); print(os.getpid(), flush=True); "
    "[print('x', flush=True) or time.sleep(0.05) for _ in itertools.count()]"
)
subprocess.Popen([sys.executable, "-c", code])
"""
LAUNCHER = """
import subprocess, sys
from pathlib import Path
from flows.child import child, lines
sleeper = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
with child([sys.executable, "-c", sleeper], subprocess.PIPE, Path.cwd()) as process:
    for line in lines(process):
        print(line, flush=True)
"""


@pytest.mark.parametrize("ending", [KeyboardInterrupt, TimeoutError, SystemExit])
def test_whatever_ends_the_block_ends_the_whole_family(
    ending: type[BaseException], tmp_path: Path, gone: Callable[[int], bool]
) -> None:
    grandchildren = []

    def broken_off() -> None:
        with child([sys.executable, "-c", FAMILY], subprocess.PIPE, tmp_path) as process:
            grandchildren.append(int(next(lines(process))))
            raise ending

    with pytest.raises(ending):
        broken_off()
    assert gone(*grandchildren)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_a_launcher_killed_outright_leaves_no_child(gone: Callable[[int], bool]) -> None:
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert launcher.stdout is not None
    pid = int(launcher.stdout.readline())
    launcher.kill()
    launcher.wait()
    launcher.stdout.close()
    assert gone(pid)


def test_lines_come_whole_and_unreadable_bytes_do_not_stop_them(tmp_path: Path) -> None:
    code = r"import sys; sys.stdout.buffer.write(b'one\n\xff two\nlast'); sys.stderr.write('e')"
    with child([sys.executable, "-c", code], subprocess.PIPE, tmp_path) as process:
        heard = list(lines(process))
    assert heard[:2] == ["one", "\ufffd two"]
    assert "last" in heard[2]
    assert process.returncode == 0


def test_a_child_that_was_killed_is_not_waited_for_by_its_output(
    tmp_path: Path, gone: Callable[[int], bool]
) -> None:
    with child([sys.executable, "-c", FAMILY], subprocess.PIPE, tmp_path) as process:
        heard = lines(process)
        orphan = int(next(heard))
        process.kill()
        assert list(heard) == []  # and not in ten minutes, when the orphan lets go of it
        assert process.returncode == -9
    assert gone(orphan)


def test_a_chatterer_that_left_the_family_is_not_heard_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: Callable[[int], bool]
) -> None:
    monkeypatch.setattr("flows.child.SECONDS_FOR_OTHERS", 0.2)
    monkeypatch.setattr("flows.child.SECONDS_TO_STOP", 0.2)
    with child([sys.executable, "-c", CHATTERER], subprocess.PIPE, tmp_path) as process:
        first, *_ = lines(process)
    assert gone(int(first))  # of the closed pipe


def test_what_a_child_held_at_most_is_known_after_its_end(tmp_path: Path) -> None:
    code = "taken = bytearray(b'x' * 80_000_000); print('up', flush=True); time.sleep(0.5)"
    with child(
        [sys.executable, "-c", f"import time; {code}"], subprocess.PIPE, tmp_path
    ) as process:
        memory = Memory(process)
        assert list(lines(process, meanwhile=memory.look)) == ["up"]
    assert 80_000_000 < memory.most < 160_000_000


def test_the_interpreter_of_this_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(Path(sys.executable).parent)
    assert environment()["PATH"].split(os.pathsep)[0] == here
    monkeypatch.delenv("PATH")
    assert environment()["PATH"] == here


def test_the_root_is_found_from_below(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_root(tmp_path / "a" / "b") == tmp_path.resolve()
    with pytest.raises(UserError, match=r"dvc\.yaml"):
        find_root(Path("/"))


def test_a_second_run_names_the_first(
    tmp_path: Path, held_elsewhere: Callable[[Path], AbstractContextManager[int]]
) -> None:
    with (
        held_elsewhere(tmp_path) as pid,
        pytest.raises(UserError, match=f"process {pid}.*`kill {pid}`"),
        run_lock(tmp_path),
    ):
        pass
    with run_lock(tmp_path), run_lock(tmp_path):  # let go, and its holder may enter again
        pass

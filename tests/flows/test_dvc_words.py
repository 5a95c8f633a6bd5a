from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.child import environment
from flows.dvc_words import dvc_error
from flows.outs import missing_inputs
from flows.project import run_lock
from tasks.contracts.errors import UserError


def _refused(root: Path, stage: str) -> str:
    """Return what a person is told of a `dvc repro` that fails."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "--single-item", "--force", stage],
        cwd=root,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    heard = done.stderr.splitlines()
    first = next(number for number, line in enumerate(heard) if line.startswith("ERROR: "))
    return str(dvc_error(f"stage {stage}", heard[first:]))


def test_a_path_in_use_names_who_uses_it_and_the_way_out(line: Path) -> None:
    used = str(line / "out" / "ingest")
    other = os.getppid()
    holders = [{"pid": os.getpid(), "cmd": "dvc pull"}, {"pid": other, "cmd": "dvc push"}]
    (line / ".dvc" / "tmp" / "rwlock").write_text(
        json.dumps({"write": {}, "read": {used: holders}})
    )
    told = _refused(line, "ingest")
    assert told == (
        f"stage ingest: {used} is in use by `dvc pull` (process {os.getpid()}) and `dvc push` "
        f"(process {other}). Wait until that ends, or stop it with `kill {os.getpid()} {other}`; "
        "if it is no command of DVC, remove .dvc/tmp/rwlock."
    )


def test_a_file_of_locks_that_a_full_disk_cut_off_is_named(line: Path) -> None:
    (line / ".dvc" / "tmp" / "rwlock").write_text('{"write": {"/a')
    told = _refused(line, "ingest")
    assert "JSON structure is corrupted" in told
    assert told.endswith("Remove .dvc/tmp/rwlock if no other command of DVC is at work.")


def test_what_dvc_says_in_several_lines_is_told_whole(line: Path) -> None:
    with (line / "params.yaml").open("a") as file:
        file.write("path: {ingest: elsewhere}\n")
    wiring = (line / "dvc.yaml").read_text()
    (line / "dvc.yaml").write_text(f"vars: [path: {{ingest: here}}]\n{wiring}")
    told = _refused(line, "ingest")
    assert "failed to parse 'vars' in 'dvc.yaml': cannot redefine 'path.ingest'" in told


def test_a_project_that_has_lost_its_git_is_told_both_ways_out(project: Path) -> None:
    shutil.rmtree(project / ".git")
    with pytest.raises(UserError) as caught:
        missing_inputs(project, "merge")
    assert str(caught.value).startswith(f"{project}: DVC keeps versions with Git")
    assert "Run `git init` there, or `dvc config --local core.no_scm true`" in str(caught.value)


@pytest.mark.parametrize("said", ["[Errno 28] No space left on device: 'x'", "disk quota exceeded"])
def test_a_disk_that_fills_while_dvc_keeps_a_result_is_named(said: str) -> None:
    lines = [f"ERROR: unexpected error - {said}", "", "Having any troubles?"]
    told = str(dvc_error("stage ingest", lines))
    assert told.startswith("stage ingest: ")
    assert "Free some space" in told


def test_a_run_is_refused_where_the_disk_has_no_room_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")._replace(free=7_000_000)
    monkeypatch.setattr("flows.project.shutil.disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"the disk has 7 MB left, and a run needs 100 MB\. Free"):
        run_lock(tmp_path).__enter__()


def test_a_read_only_checkout_is_told_in_a_line(project: Path) -> None:
    mounted = "mount --bind . . && mount -o remount,bind,ro . && cd "
    alone = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*alone, f"{mounted} /"], cwd=project, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a folder")
    ganlift = str(Path(sys.executable).parent / "ganlift")
    done = subprocess.run(
        [*alone, f'{mounted} "$1" && exec "$0" run --until ingest', ganlift, str(project)],
        cwd=project,
        env=environment() | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {project}/.ganlift: read-only file system. Change")
    assert done.stderr.count("\n") == 1

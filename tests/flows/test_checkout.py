"""`ganlift checkout`: all of a run comes back, or nothing, and no work is lost for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.edit_params import edit_params
from flows.outs import is_up_to_date
from flows.versions import Lock, _as_locked, finished_line, log_line
from tasks.adapters.tracking.lineage import DVC_LOCK, NOTE
from tasks.contracts.outputs import LOCKS
from tests.adapters.fake_results import REPOSITORY
from tests.adapters.logged import client
from tests.flows.command_line import command
from tests.flows.versioned import DATA, LIFT, PARAMS, git, log_run, runs, state

CACHE = Path(".dvc/cache/files/md5")


def test_a_run_comes_back_with_all_that_belongs_to_it(
    versioned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    second = state(versioned)
    before, first_id = git(versioned, "rev-parse", "HEAD"), runs()[1]
    assert command(monkeypatch, "checkout", "latest~1") == 0
    said = capsys.readouterr().out
    assert f"Run {first_id[:8]} is back: params.yaml, dvc.lock and 4 outputs" in said
    assert "`ganlift run` finds everything up to date." in said
    assert f"The run's code was commit c0ffee; here it is {before[:12]}" in said
    assert (DATA / "a" / "x").read_text() == "pixels of 0"
    assert LIFT.read_text() == '{"found": "pixels of 0"}'
    assert Path("reports/lift.html").read_text() == "report on pixels of 0"
    assert "\nseed: 0" in PARAMS.read_text()
    assert all(is_up_to_date(versioned, stage) for stage in ("ingest", "report"))
    assert command(monkeypatch, "checkout", runs()[0][:6]) == 0
    assert state(versioned) == second


@pytest.mark.usefixtures("versioned")
def test_the_description_of_a_run_names_the_command() -> None:
    tags = client().get_run(runs()[0]).data.tags
    assert f"`ganlift checkout {runs()[0][:8]}` (commit c0ffee, `dvc.lock` " in tags[NOTE]
    assert tags[NOTE].startswith("above\n")
    assert tags[NOTE].endswith("\nbelow")
    assert "ganlift track" not in tags[NOTE]
    assert tags[DVC_LOCK][:12] in tags[NOTE]


def test_settings_that_nothing_else_holds_stay(
    versioned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with PARAMS.open("a") as file:
        file.write("# a remark of mine\n")
    before = state(versioned)
    assert command(monkeypatch, "checkout", "latest~1") == 1
    assert "params.yaml: it holds settings that neither Git's" in capsys.readouterr().err
    assert state(versioned) == before
    git(versioned, "commit", "--quiet", "--message", "mine", "--", "params.yaml")
    assert command(monkeypatch, "checkout", "latest~1") == 0
    assert "remark" not in PARAMS.read_text()


@pytest.mark.parametrize("path", [DATA / "a" / "x", LIFT, DATA / "a" / "new"])
def test_an_output_that_somebody_changed_stays(
    path: Path, versioned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text("mended by hand")
    before = state(versioned)
    assert command(monkeypatch, "checkout", "latest~1") == 1
    assert f"{path}: it stands where the pipeline writes" in capsys.readouterr().err
    assert state(versioned) == before


def test_a_result_that_no_run_holds_stays(
    versioned: Path,
    dvc: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    edit_params(PARAMS, ["seed=2"])
    dvc(versioned, "repro")
    git(versioned, "add", "--all")
    git(versioned, "commit", "--quiet", "--message", "its settings")
    before = state(versioned)
    assert command(monkeypatch, "checkout", "latest") == 1
    assert "reports/lift.json: no run of MLflow holds this result" in capsys.readouterr().err
    assert state(versioned) == before
    log_run()
    assert command(monkeypatch, "checkout", "latest~1") == 0, "its line is logged on the way"
    assert command(monkeypatch, "checkout", "latest") == 0
    assert state(versioned) == before


def test_what_the_cache_lost_is_named_and_nothing_is_mixed(
    versioned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(versioned)
    shutil.rmtree(CACHE)
    assert command(monkeypatch, "checkout", "latest~1") == 1
    said = capsys.readouterr().err
    assert "DVC's cache no longer holds data/real, reports/lift.html" in said
    assert said.count("\n") == 1
    assert state(versioned) == before


def test_what_the_cache_lost_comes_from_the_remote(
    versioned: Path,
    tmp_path: Path,
    dvc: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    second = state(versioned)
    dvc(versioned, "remote", "add", "--default", "--local", "away", str(tmp_path / "away"))
    assert command(monkeypatch, "checkout", "latest~1") == 0
    dvc(versioned, "push")
    assert command(monkeypatch, "checkout", "latest") == 0
    shutil.rmtree(CACHE)
    assert command(monkeypatch, "checkout", "latest~1") == 0
    assert (DATA / "a" / "x").read_text() == "pixels of 0"
    shutil.rmtree(CACHE)
    capsys.readouterr()
    assert command(monkeypatch, "checkout", "latest~1") == 0, "whose outputs stand in place"
    assert "`ganlift run` finds everything up to date." in capsys.readouterr().out
    shutil.rmtree(CACHE)
    assert command(monkeypatch, "checkout", "latest") == 1, "which was never pushed"
    assert "cache and remote no longer hold data/real" in capsys.readouterr().err
    assert state(versioned) != second
    assert (DATA / "a" / "x").read_text() == "pixels of 0"


def test_a_damaged_object_brings_nothing_back(
    versioned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(versioned)
    for file in CACHE.rglob("*"):
        if file.is_file() and file.read_bytes() == b"pixels of 0":
            file.chmod(0o644)
            file.write_text("rotten")
    assert command(monkeypatch, "checkout", "latest~1") == 1
    assert "this object of DVC's cache is damaged" in capsys.readouterr().err
    assert state(versioned) == before


def test_code_and_images_that_changed_since_are_named(
    versioned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (versioned / "tasks" / "of_ingest.py").write_text("# other code")
    (versioned / "images" / "2").write_text("new")
    assert command(monkeypatch, "checkout", "latest~1") == 0
    said = capsys.readouterr().out
    assert "Code that stages depend on has changed since: tasks/of_ingest.py." in said
    assert "The images in images have changed since; they are yours" in said
    assert "`ganlift run` runs again: ingest, and what depends on them." in said


def test_settings_of_an_earlier_ganlift_come_back_as_they_were(
    versioned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = versioned / "mlflow/artifacts" / runs()[1] / "artifacts/line/params.yaml"
    text = kept.read_text()
    earlier = text.replace("\nretrain:\n", "\nretrain:\n  of_old: 1\n")
    assert earlier != text
    kept.write_text(earlier)
    assert command(monkeypatch, "checkout", "latest~1") == 0
    assert PARAMS.read_text() == earlier


def test_a_line_of_other_outputs_is_refused(
    versioned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("dvc.yaml").read_text()
    Path("dvc.yaml").write_text(text.replace("data/real", "data/images"))
    before = state(versioned)
    assert command(monkeypatch, "checkout", "latest~1") == 1
    said = capsys.readouterr().err
    assert "its line writes other outputs than the one here: data/real." in said
    assert "`git checkout c0ffee`" in said
    assert state(versioned) == before


def test_a_run_without_its_line_says_so(
    versioned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    LIFT.write_text("{}")
    log_run()
    assert command(monkeypatch, "checkout", "latest") == 1
    assert "it does not hold what brings it back" in capsys.readouterr().err
    assert finished_line(versioned, LOCKS[0]) is None, "the report is not the one of the lock"


def test_small_numbers_are_read_from_a_lock_as_dvc_writes_them() -> None:
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    written = "stages:\n  train_gan:\n    params:\n      params.yaml:\n        train_gan:\n"
    lock = Lock(Path("dvc.lock"), f"{written}          privacy:\n            delta: 1e-05\n")
    assert dict(lock.params) == {"train_gan.privacy.delta": 1e-05}
    assert _as_locked(text, lock) == text


@pytest.mark.usefixtures("versioned")
def test_settings_edited_after_a_run_are_not_logged_as_its_own(dvc: Callable[..., str]) -> None:
    edit_params(PARAMS, ["seed=2"])
    dvc(Path.cwd(), "repro")
    run = log_run()
    edit_params(PARAMS, ["seed=3", "train_gan.seeds=[9]"])
    log_line(Path.cwd())
    text = Path(client().download_artifacts(run, "line/params.yaml")).read_text()
    assert "\nseed: 2" in text


def test_a_mixture_of_two_lines_is_logged_as_none(versioned: Path, dvc: Callable[..., str]) -> None:
    edit_params(PARAMS, ["seed=2"])
    dvc(versioned, "repro", "ingest")
    assert finished_line(versioned, LOCKS[0]) is None
    dvc(versioned, "repro")
    assert finished_line(versioned, LOCKS[0]) is not None


KILLED = """
import itertools, os, signal
from pathlib import Path
from flows import checkout
from tasks.contracts import outputs
last, steps, real = 1, itertools.count(), outputs._take_place
def step(place, path):
    if next(steps) == last:
        os.kill(os.getpid(), signal.SIGKILL)
    real(place, path)
outputs._take_place = step
checkout.check_out(Path.cwd(), "latest~1")
"""


def test_a_killed_checkout_is_finished_by_the_next_command(
    versioned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    killed = [sys.executable, "-P", "-c", KILLED]
    assert subprocess.run(killed, env=environment, check=False).returncode == -9
    assert command(monkeypatch, "export", "nothing", "folder") == 1
    left = state(versioned)
    assert command(monkeypatch, "checkout", "latest~1") == 0
    assert left == state(versioned)

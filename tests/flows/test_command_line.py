from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from flows import prefect_server
from flows.child import environment
from flows.edit_params import edited
from flows.mending import DVC_HOLDS
from flows.nights import noted_nights
from flows.presets import TABLE
from flows.project import NOTES, SCHEDULE_LOCK, run_lock
from tasks.contracts.errors import UserError
from tasks.contracts.outputs import ASIDE, KEPT_LOCKS, MOVING
from tests.flows.command_line import command

PARAMS = "params.yaml"


@pytest.fixture
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the server of the test session."""
    monkeypatch.setattr(prefect_server, "ready", lambda *_: lambda: None)


@pytest.mark.parametrize(
    "name",
    [
        *("run", "plan", "init", "filter", "schedule", "ui", "grid", "predict", "export"),
        *("compare", "track", "docs", "doctor", "notify", "checkout", "gc"),
    ],
)
def test_every_help_shows_an_example(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)  # help needs no project
    assert command(monkeypatch, name, "--help") == 0
    assert f"Example: ganlift {name}" in capsys.readouterr().out


def test_the_help_of_run_names_every_preset(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "run", "--help") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in yaml.safe_load(TABLE.read_text())["presets"])


def test_help_is_quick_because_no_tool_is_imported() -> None:
    code = "import flows.cli, sys; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    ).stdout.split()
    heavy = {
        "prefect",
        "dvc",
        "mlflow",
        "great_expectations",
        "torch",
        "pandas",
        "numpy",
        "pydantic",
    }
    assert not heavy & set(modules)


@pytest.mark.usefixtures("_no_server")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--source", "absent"], "source absent: no such folder"),
        (["run", "--source", "empty"], "source empty: the folder is empty"),
        (["run", "--set", "ingest.source=absent"], "source absent: no such folder"),
        (["run", "--set", "merge.synthetic=2"], "merge.synthetic_per_real"),
        (["run", "--set", "retrain.classifier=ResNet18"], "The nearest is resnet18."),
        (["run", "--set", "retrain.weights=none.pth"], "retrain.weights: none.pth: no such file"),
        (["run", "--set", "report.primary_metric=acuracy"], "the nearest is accuracy"),
        (["run", "--preset", "fats"], "The nearest is fast."),
        (["run", "--preset", "plain", "--set", "train_gan.penalties.r1=1"], "penalties.r1 needs"),
        (["run", "--set", "seed=3", "--from", "mergee"], "The nearest is merge."),
        (["schedule", "--cron", "every day"], "--cron 'every day'"),
        (["schedule", "--cron", "0 3 * * *", "--timezone", "Mars/Base"], "Mars/Base"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(
    arguments: list[str],
    said: str,
    line: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (line / "empty").mkdir()
    before = (line / PARAMS).read_bytes()
    assert command(monkeypatch, *arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said.replace("source absent", f"source {line}/absent").replace(
        "source empty", f"source {line}/empty"
    ) in error.replace(str(line.resolve()), str(line))
    assert (line / PARAMS).read_bytes() == before


@pytest.mark.usefixtures("_no_server", "prefect_url")
def test_settings_that_change_nothing_or_came_from_other_data_are_told(
    line: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "run", "--preset", "balanced", "--until", "ingest") == 0
    assert "nothing in it changes" in capfd.readouterr().out
    (line / "others").mkdir()
    (line / "others" / "file").touch()
    assert command(monkeypatch, "run", "--set", "ingest.source=others", "--until", "ingest") == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "The settings of orders are used for others" in said


def test_outside_a_project_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "run") == 1
    assert "no ganlift project" in capsys.readouterr().err


@pytest.mark.usefixtures("_no_server", "prefect_url")
def test_run_writes_the_settings_and_ends_with_the_verdict(
    line: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(line / "orders")  # a path is the caller's, the project is found above it
    settings = ("--preset", "fast", "--set", "train_gan.total_kimg=40")  # the latter wins
    assert command(monkeypatch, "run", *settings, "--source", ".") == 0
    written = (line / PARAMS).read_text(encoding="utf-8")
    assert "source: orders #" in written
    assert "total_kimg: 40 #" in written
    shown = re.sub(r"[│\s]+", " ", capfd.readouterr().out)  # whatever the width of the panel
    for text in ("helps", "+1.2 points [+0.4, +2.0]", "reports/lift.html", "ganlift ui"):
        assert text in shown
    assert "filtered against real+repeated, the strongest arm without GAN images" in shown
    assert "worth about 140 more real images [+40, over +200]" in shown
    assert shown.count("unchanged") == 8
    assert "nothing new" in shown


def test_a_run_with_nothing_to_do_starts_no_server_and_is_noted(
    line: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in prefect_server.CHOSEN_BY_USER:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(prefect_server, "ready", lambda *_: pytest.fail("a server was started"))
    assert command(monkeypatch, "run") == 0
    shown = capfd.readouterr().out
    assert "unchanged: ingest, validate" in shown
    assert "nothing new" in shown
    assert "helps" in shown
    assert len(noted_nights(line)) == 1
    assert command(monkeypatch, "run", "--from", "merge", "--until", "retrain") == 0
    assert "merge, retrain: in place" in capfd.readouterr().out
    assert len(noted_nights(line)) == 1  # the stages before were not looked at


@pytest.mark.parametrize("what", ["an input", "an output", "a killed run", "--force"])
def test_a_run_with_something_to_do_goes_through_prefect(
    what: str, line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in prefect_server.CHOSEN_BY_USER:
        monkeypatch.delenv(name, raising=False)
    if what == "an input":
        (line / "orders" / "merge").write_text("second")
    if what == "an output":
        (line / "page" / "merge.html").unlink()
    if what == "a killed run":
        (line / NOTES).mkdir(parents=True)
        (line / NOTES / "5f0d9b52-7f9e-4a0c-9d6e-6d0f3c1f7a11").touch()

    def started(*_: object) -> None:
        raise UserError("a server", "was started", "That is right")

    monkeypatch.setattr(prefect_server, "ready", started)
    asked = ["--force"] if what == "--force" else []
    assert command(monkeypatch, "run", *asked) == 1
    assert noted_nights(line) == []


@pytest.mark.usefixtures("_no_server")
def test_nobody_comes_between_writing_params_and_running(
    monkeypatch: pytest.MonkeyPatch, line: Path
) -> None:
    import flows.pipeline

    tried = []

    def second_start(*_: object) -> dict[str, str]:
        command = [Path(sys.executable).parent / "ganlift", "run", "--set", "seed=4"]
        tried.append(subprocess.run(command, cwd=line, capture_output=True, text=True, check=False))
        return {"ingest": "done"}

    monkeypatch.setattr(flows.pipeline, "pipeline", second_start)
    assert command(monkeypatch, "run", "--set", "seed=3") == 0
    (second,) = tried
    assert second.returncode == 1
    assert "another run is at work here" in second.stderr
    assert "seed: 3" in (line / PARAMS).read_text(encoding="utf-8")


@pytest.mark.usefixtures("_no_server")
@pytest.mark.parametrize(("cron", "status"), [("0 3 * * *", 0), ("61 3 * * *", 1)])
def test_a_schedule_writes_its_source_before_it_is_served(
    cron: str, status: int, line: Path, prefect_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_url)
    there = (line / PARAMS).read_text(encoding="utf-8")
    shutil.copytree(line / "orders", line / "tiles")
    planned = ["ingest.image_size=16", "ingest.source=tiles"]
    monkeypatch.setattr("flows.plan.settings_for", lambda *_: (planned, {}))
    served: list[str] = []

    def serve(root: Path, _: object, wishes: dict[str, object]) -> None:
        assert wishes == {"push": True, "commit": False, "keep": 30, "keep_days": None}
        served.append((root / PARAMS).read_text(encoding="utf-8"))
        with run_lock(root):  # a run by hand is not held up by a schedule
            pass

    monkeypatch.setattr("flows.schedule.serve", serve)
    asked = ("--source", "tiles", "--push", "--keep", "30")
    assert command(monkeypatch, "schedule", "--cron", cron, *asked) == status
    if status == 0:
        assert served == [edited(there, planned)]
    else:
        assert (line / PARAMS).read_text(encoding="utf-8") == there


def test_a_taken_port_is_named(monkeypatch: pytest.MonkeyPatch, line: Path) -> None:
    for name in prefect_server.CHOSEN_BY_USER:
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}: .*in use.*--port"):
            prefect_server.ready(line, port)


def test_a_server_the_user_named_must_answer(monkeypatch: pytest.MonkeyPatch, line: Path) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    ended = subprocess.run(
        [Path(sys.executable).parent / "ganlift", "run"],
        cwd=line,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: Prefect's server http://127.0.0.1:9/api")
    assert ended.stderr.count("\n") == 1


def test_a_second_schedule_of_a_project_is_refused(
    line: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (line / ".ganlift").mkdir(exist_ok=True)
    with (line / SCHEDULE_LOCK).open("w+") as held:
        held.write("1234")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        assert command(monkeypatch, "schedule", "--cron", "0 3 * * *") == 1
    assert "another schedule is at work here (process 1234)" in capsys.readouterr().err


def test_any_command_first_mends_what_a_killed_one_left(
    line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage was killed between two outputs, and DVC as it wrote its lock."""
    lock = (line / "dvc.lock").read_text()
    aside = line / ASIDE / "merge"
    aside.mkdir(parents=True)
    (line / "out" / "merge").rename(line / "out" / ".merge.leaving")
    shutil.copytree(line / "out" / ".merge.leaving", line / "out" / ".merge.arriving")
    (aside / MOVING).write_text('{"out/merge": "merge"}')
    (line / KEPT_LOCKS).mkdir(parents=True, exist_ok=True)
    (line / KEPT_LOCKS / "dvc.lock").write_text(lock)
    (line / "dvc.lock").write_text(lock[:-9])
    (line / DVC_HOLDS).write_text("")
    assert command(monkeypatch, "export", "nothing", "folder") == 1
    assert (line / "out" / "merge" / "data").is_file()
    assert not list((line / "out").glob(".*"))
    assert not (line / DVC_HOLDS).exists()
    assert (line / "dvc.lock").read_text() == lock


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_run_leaves_no_child_and_keeps_the_results(
    number: signal.Signals, line: Path, prefect_url: str, gone: Callable[[int], bool]
) -> None:
    before = (line / "out" / "merge" / "data").read_text()
    (line / "orders" / "merge").write_text("hang merge")
    process = subprocess.Popen(
        [Path(sys.executable).parent / "ganlift", "run", "--from", "merge"],
        cwd=line,
        env={**environment(), "PREFECT_API_URL": prefect_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a shell that starts the tests in the background has SIGINT ignored, which is inherited
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    pids = line / "pids"
    while process.poll() is None and not (pids.is_file() and pids.read_text()):
        time.sleep(0.1)
    os.kill(process.pid, number)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number, out + error
    assert error == "stopped\n"
    assert "merge           stopped" in out
    assert "failed" not in out
    assert gone(int(pids.read_text()))
    assert (line / "out" / "merge" / "data").read_text() == before

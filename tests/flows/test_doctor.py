from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from flows import doctor, prefect_server
from tasks.contracts.errors import UserError
from tests.flows.command_line import command

NOWHERE = "http://127.0.0.1:9"  # the port of `discard`, which nobody serves


@pytest.fixture(autouse=True)
def _no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*prefect_server.CHOSEN_BY_USER, "MLFLOW_TRACKING_URI", "DVC_ROOT"):
        monkeypatch.setenv(name, "")  # so that it is put back in the end
        monkeypatch.delenv(name)


def _no_answer() -> None:
    raise UserError(f"Prefect's server {NOWHERE}/api", "it does not answer", "Start it")


def test_a_new_project_is_well_and_stays_as_it_is(
    project: Path,
    held_elsewhere: Callable[[Path], AbstractContextManager[int]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(path for path in project.rglob("*") if ".dvc/tmp" not in str(path))
    assert command(monkeypatch, "doctor") == 0
    said = capsys.readouterr().out
    assert "mend" not in said
    assert "none is at work here" in said
    assert sorted(path for path in project.rglob("*") if ".dvc/tmp" not in str(path)) == before
    with held_elsewhere(project) as pid:
        assert doctor.Finding("run", f"process {pid} is at work here") in doctor.examine(project)


def test_each_thing_amiss_is_named_with_its_mend(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "tasks").unlink()
    shutil.copytree(Path(__file__).parents[2] / "tasks", project / "tasks")
    monkeypatch.setattr(doctor, "requires", lambda _: ["dvc>=99", "nobody-has-this", "rich"])
    usage = shutil.disk_usage("/")._replace(free=5_000_000)
    monkeypatch.setattr("flows.doctor.shutil.disk_usage", lambda _: usage)
    memory = tmp_path / "meminfo"
    memory.write_text("MemTotal:  8000000 kB\nMemAvailable:  500000 kB\nHugePages_Total:  0\n")
    monkeypatch.setattr(doctor, "_MEMORY", memory)
    (project / ".dvc" / "config.local").write_text("['remote \"nas\"']\n    url = /gone/away\n")
    monkeypatch.setenv("PREFECT_API_URL", f"{NOWHERE}/api")
    monkeypatch.setattr(prefect_server, "see_answering", _no_answer)  # Prefect reads it but once
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    (project / ".dvc" / "tmp" / "rwlock").write_text("{")
    os.utime(project / "dvc.yaml", (4e9, 4e9))
    amiss = {one.thing: one for one in doctor.examine(project) if one.mend is not None}
    facts = {
        "installation": f"and the stages from {project}",
        "versions": "dvc>=99 (there is 3.",
        "disk": "0.0 of",
        "memory": "0.5 of 8.2 GB free",
        "remote nas": "/gone/away: it is no folder",
        f"Prefect's server {NOWHERE}/api": "it does not answer",
        "tracking": f"cannot reach {NOWHERE}",
        "DVC's locks": ".dvc/tmp/rwlock is damaged",
        "clock": "before dvc.yaml was written",
    }
    assert set(amiss) == set(facts)
    for thing, fact in facts.items():
        assert fact in amiss[thing].fact
    assert "nobody-has-this (there is none)" in amiss["versions"].fact


def test_what_dvc_needs_first_is_looked_at(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(project / ".git")
    assert command(monkeypatch, "doctor") == 1
    said = capsys.readouterr().out
    assert "Run `git init` there" in said
    assert "clock" in said  # what comes after is looked at as well

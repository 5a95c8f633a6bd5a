"""`ganlift gc`: what no kept result needs goes, and nothing that anything else needs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from flows.gc import free_after_run
from tasks.adapters.tracking.retention import Wanted
from tasks.adapters.tracking.store import Store
from tests.adapters.logged import client
from tests.flows.command_line import command
from tests.flows.versioned import git, runs, state

CACHE = Path(".dvc/cache/files/md5")
OLD, NEW, BOTH = b"pixels of 0", b"pixels of 1", b"in both"


def cached() -> set[bytes]:
    return {file.read_bytes() for file in CACHE.rglob("*") if file.is_file()}


def test_what_only_an_old_result_needs_is_freed(
    versioned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    new, old = runs()
    gan = client().create_run("1", tags={"ganlift.kind": "gan"}, start_time=1)
    client().set_terminated(gan.info.run_id)
    before, artifacts = state(versioned), Path("mlflow/artifacts")
    assert [*(artifacts / old).rglob("*.json")]
    assert command(monkeypatch, "gc", "--keep", "1", "--yes") == 0
    said, complaints = capsys.readouterr()
    assert complaints == ""
    assert "MLflow: 1 result and 1 run of arms and GANs" in said
    assert "what stays: 1 result." in said
    assert "DVC's cache: 3 files" in said  # the list of the folder, a file of it, and the page
    assert runs() == [new]
    assert not [*(artifacts / old).rglob("*.json")]
    with pytest.raises(MlflowException):
        client().get_run(old)
    assert {NEW, BOTH} <= cached()
    assert OLD not in cached()
    assert state(versioned) == before
    shutil.rmtree("data")
    assert command(monkeypatch, "checkout", "latest") == 0
    assert state(versioned) == before
    capsys.readouterr()
    assert command(monkeypatch, "gc", "--keep", "1") == 0
    assert "There is nothing to free." in capsys.readouterr().out


def test_after_a_scheduled_run_it_frees_or_says_why_not(
    versioned: Path,
    held_elsewhere: Callable[[Path], AbstractContextManager[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    new, old = runs()
    with held_elsewhere(versioned):
        said = free_after_run(versioned, Wanted(1, None))
    assert said.startswith("Nothing was freed: ")
    assert runs() == [new, old]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        assert free_after_run(versioned, Wanted(1, None)) == "Nothing was freed: read-only"
    assert free_after_run(versioned, Wanted(1, None)).startswith("Freed. MLflow: 1 result")
    assert runs() == [new]
    assert free_after_run(versioned, Wanted(1, None)) == "There is nothing to free."


def test_the_champion_is_never_freed(
    versioned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, (_, old) = client(), runs()
    store.create_registered_model("ganlift-images")
    version = store.create_model_version("ganlift-images", "file:///nowhere", old)
    store.set_registered_model_alias("ganlift-images", "champion", version.version)
    before = cached()
    assert command(monkeypatch, "gc", "--keep", "1", "--yes") == 0
    assert "what stays: 2 results." in capsys.readouterr().out
    assert len(runs()) == 2
    assert cached() == before
    assert command(monkeypatch, "checkout", "latest~1") == 0
    store.delete_registered_model_alias("ganlift-images", "champion")
    assert command(monkeypatch, "gc", "--keep", "1", "--yes") == 0
    assert len(runs()) == 1
    assert store.search_model_versions("name = 'ganlift-images'") == []
    assert OLD in cached(), "it stands in the project's folder now"


def test_data_of_a_person_and_of_branches_stay(
    versioned: Path, dvc: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (versioned / "mine").write_text("my own data")
    dvc(versioned, "add", "mine")
    git(versioned, "add", "mine.dvc")
    git(versioned, "commit", "--quiet", "--message", "mine")
    git(versioned, "rm", "--quiet", "mine.dvc")
    git(versioned, "commit", "--quiet", "--message", "gone")
    new = state(versioned)
    assert command(monkeypatch, "checkout", "latest~1") == 0
    git(versioned, "checkout", "--quiet", "-b", "old")
    git(versioned, "add", "--all")
    git(versioned, "commit", "--quiet", "--message", "the first result")
    git(versioned, "checkout", "--quiet", "-b", "of-another-machine")
    lock = (versioned / "dvc.lock").read_text()
    (versioned / "dvc.lock").write_text(re.sub(r"md5: \w+\.dir", f"md5: {'0' * 32}.dir", lock))
    git(versioned, "commit", "--quiet", "--all", "--message", "never run here")
    git(versioned, "checkout", "--quiet", "main")
    assert command(monkeypatch, "checkout", "latest") == 0
    assert state(versioned)["reports/lift.json"] == new["reports/lift.json"]
    assert command(monkeypatch, "gc", "--keep", "1", "--yes") == 0
    assert len(runs()) == 1
    assert {b"my own data", OLD, NEW, BOTH} <= cached()


def test_what_the_pipeline_did_not_write_stays_though_nothing_names_it(
    versioned: Path, dvc: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (versioned / "mine").write_text("my own data")
    dvc(versioned, "add", "mine")
    (versioned / "mine.dvc").unlink()
    (versioned / "mine").unlink()
    assert command(monkeypatch, "gc", "--keep", "1", "--yes") == 0
    assert b"my own data" in cached()
    assert OLD not in cached()


@pytest.mark.usefixtures("versioned")
def test_nothing_goes_unasked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = cached()
    monkeypatch.setattr("typer.confirm", lambda _: False)
    assert command(monkeypatch, "gc", "--keep", "1") == 0
    assert "Freed" not in capsys.readouterr().out
    assert command(monkeypatch, "gc") == 1
    assert "nothing says what to keep" in capsys.readouterr().err
    assert command(monkeypatch, "gc", "--keep-days", "1", "--yes") == 0
    assert "There is nothing to free" in capsys.readouterr().out
    assert len(runs()) == 2
    assert cached() == before


def test_a_cache_that_others_may_use_is_left_alone(
    versioned: Path,
    tmp_path: Path,
    dvc: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(versioned / ".dvc" / "cache", tmp_path / "shared")
    dvc(versioned, "cache", "dir", "--local", str(tmp_path / "shared"))
    assert command(monkeypatch, "gc", "--keep", "1", "--yes") == 0
    assert "which others may use: it is left alone" in capsys.readouterr().out
    assert any(f.read_bytes() == OLD for f in (tmp_path / "shared").rglob("*") if f.is_file())


@pytest.mark.usefixtures("versioned")
def test_a_server_that_others_may_use_keeps_its_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Store, "is_local", False)
    assert command(monkeypatch, "gc", "--keep", "1", "--yes") == 0
    assert "which others may use: its runs are left alone" in capsys.readouterr().out
    assert len(runs()) == 2
    assert OLD not in cached()

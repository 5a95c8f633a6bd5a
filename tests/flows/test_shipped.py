"""A project made by an earlier version of ganlift works with this one."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from flows import shipped
from flows.project import enter_project
from tasks.contracts.errors import UserError
from tasks.contracts.params.line import load_params

REPOSITORY = Path(__file__).parents[2]
FORMER = "7a306ea"  # the first version that made projects


@pytest.fixture
def earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for the earlier version that a project was made by: where its files lay."""
    origin = tmp_path / "earlier"
    for name in shipped.FILES:
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, origin / name)
    dvc_yaml = (origin / "dvc.yaml").read_text()
    (origin / "dvc.yaml").write_text(dvc_yaml.replace(" --fold 0", ' --source "${ingest.source}"'))
    params = (origin / "params.yaml").read_text()
    lines = [line for line in params.splitlines() if not line.startswith(("  frames:", "  twins:"))]
    (origin / "params.yaml").write_text("\n".join(lines) + "\n")
    return origin


def _made(project: Path, earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the project be as the earlier version has made it."""
    for name in shipped.FILES:
        shutil.copyfile(earlier / name, project / name)
    with monkeypatch.context() as then:
        then.setattr(shipped, "_WHEEL", earlier)
        shipped._save(project)


def test_what_nobody_edited_follows_and_new_settings_come_with_their_defaults(
    project: Path,
    earlier: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _made(project, earlier, monkeypatch)
    mine = (project / "params.yaml").read_text().replace("per_class: 20 #", "per_class: 7 # mine;")
    (project / "params.yaml").write_text(mine)
    enter_project()
    said = capsys.readouterr().err
    assert "dvc.yaml followed it, as nobody had edited it" in said
    assert "ingest.frames, ingest.twins" in said
    for name in shipped.FOLLOWING:
        assert (project / name).read_bytes() == (REPOSITORY / name).read_bytes()
    shipped_now = (REPOSITORY / "params.yaml").read_text()
    expected = shipped_now.replace("per_class: 20 #", "per_class: 7 # mine;")
    assert (project / "params.yaml").read_text() == expected
    enter_project()
    assert capsys.readouterr().err == ""


def test_an_edited_file_stays_and_the_new_one_lies_beside_it_until_it_is_merged(
    project: Path,
    earlier: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _made(project, earlier, monkeypatch)
    with (project / "dvc.yaml").open("a") as file:
        file.write("# mine\n")
    edited = (project / "dvc.yaml").read_bytes()
    for _ in range(2):
        enter_project()
        assert (project / "dvc.yaml").read_bytes() == edited
        assert (project / "dvc.yaml.new").read_bytes() == (REPOSITORY / "dvc.yaml").read_bytes()
        said = capsys.readouterr().err
        assert "dvc.yaml: it was edited here" in said
        assert "has 1 lines that it lacks, and lacks 2 of it" in said
        assert "`diff dvc.yaml dvc.yaml.new`" in said
    (project / "dvc.yaml.new").unlink()  # merged
    enter_project()
    assert capsys.readouterr().err == ""
    assert not (project / "dvc.yaml.new").exists()


def test_a_file_of_ones_own_is_not_written_over_by_the_new_one(
    project: Path,
    earlier: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _made(project, earlier, monkeypatch)
    with (project / "dvc.yaml").open("a") as file:
        file.write("# mine\n")
    own = project / "dvc.yaml.new"
    own.write_text("my next idea\n")
    for _ in range(2):
        enter_project()
        assert own.read_text() == "my next idea\n"
        said = capsys.readouterr().err.splitlines()
        (line,) = [one for one in said if one.startswith("dvc.yaml.new: ")]
        assert "Move it away" in line
    own.rename(project / "idea")
    enter_project()
    assert own.read_bytes() == (REPOSITORY / "dvc.yaml").read_bytes()


def test_a_file_that_somebody_removed_stays_away(
    project: Path, earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (earlier / "mlflow" / "server.env").write_text("# earlier\n")
    _made(project, earlier, monkeypatch)
    (project / "mlflow" / "server.env").unlink()
    enter_project()
    assert not (project / "mlflow" / "server.env").exists()


def test_a_project_from_before_the_record_is_known_by_its_files(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(name: str) -> str:
        told = subprocess.run(
            ["git", "show", f"{FORMER}:{name}"], cwd=REPOSITORY, capture_output=True, text=True
        )
        if told.returncode:
            pytest.skip("this copy has no history")
        return told.stdout

    (project / "ganlift.json").unlink()
    for name in shipped.FILES:
        (project / name).write_text(shown(name))
    assert "--source" in (project / "dvc.yaml").read_text()
    enter_project()
    assert (project / "dvc.yaml").read_bytes() == (REPOSITORY / "dvc.yaml").read_bytes()
    assert not list(project.rglob("*.new"))
    assert "followed it" in capsys.readouterr().err


def test_nothing_is_changed_below_a_run_at_work(
    project: Path,
    earlier: Path,
    monkeypatch: pytest.MonkeyPatch,
    held_elsewhere: Callable[[Path], AbstractContextManager[int]],
) -> None:
    _made(project, earlier, monkeypatch)
    with held_elsewhere(project):
        enter_project()
        assert (project / "dvc.yaml").read_bytes() == (earlier / "dvc.yaml").read_bytes()
    enter_project()
    assert (project / "dvc.yaml").read_bytes() == (REPOSITORY / "dvc.yaml").read_bytes()


def test_a_record_that_cannot_be_read_is_named(project: Path) -> None:
    (project / "ganlift.json").write_text("<<<<<<< HEAD\n")
    with pytest.raises(UserError, match=r"ganlift\.json: .* Restore it with `git checkout"):
        enter_project()


def test_the_record_lists_every_setting(project: Path) -> None:
    record = json.loads((project / "ganlift.json").read_text())
    assert "train_gan.penalties.r1" in record["settings"]
    assert set(record["files"]) == set(shipped.FILES)


def test_a_clone_takes_new_settings_from_its_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def committed(text: str) -> None:
        (tmp_path / "params.yaml").write_text(text)
        git("commit", "-qam", "a version")

    now = (REPOSITORY / "params.yaml").read_text()
    old = "".join(line for line in now.splitlines(True) if not line.startswith("  frames:"))
    mine = old.replace("seed: 0", "seed: 5")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    git("init", "-q")
    (tmp_path / "params.yaml").write_text(old)
    git("add", ".")
    for text in (old.replace("steps: 200", "steps: 100"), now, mine):  # a merge that kept "ours"
        committed(text)
    monkeypatch.chdir(tmp_path)
    enter_project()
    assert "ingest.frames" in capsys.readouterr().err
    assert (tmp_path / "params.yaml").read_text() == now.replace("seed: 0", "seed: 5")
    # What a person has taken away, or mistyped, is their own to mend.
    committed(now)
    (tmp_path / "params.yaml").write_text(now.replace("total_kimg", "total_kmig"))
    enter_project()
    assert (tmp_path / "params.yaml").read_text() == now.replace("total_kimg", "total_kmig")
    with pytest.raises(UserError, match=r"The nearest valid key is train_gan\.total_kimg"):
        load_params()

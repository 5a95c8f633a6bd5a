from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from flows import prefect_server
from flows.child import environment
from flows.edit_params import edit_params
from flows.new_project import make_project
from flows.outs import is_up_to_date
from flows.shipped import CODE, FILES, follow_code
from tasks.contracts.errors import UserError
from tests.flows.command_line import command

REPOSITORY = Path(__file__).parents[2]


def test_the_line_runs_outside_the_clone_where_proxies_know_nothing_of_this_machine(
    project: Path,
) -> None:
    nobody = "127.0.0.1:9"  # the port of `discard`, which nobody serves
    proxies = {
        "http_proxy": f"http://{nobody}",
        "HTTPS_PROXY": f"http://{nobody}",
        "ALL_PROXY": f"socks://{nobody}",
    }
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy")
        and not name.startswith(("MLFLOW_", "PREFECT_", "DVC_"))
    }
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ganlift"), "run", "--until", "validate"],
        cwd=project,
        env=kept | proxies | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "reports" / "validation.html").is_file()
    assert is_up_to_date(project, "validate")
    code = project / CODE
    code.unlink()  # as after an upgrade that changed a module of the stage
    shutil.copytree(REPOSITORY / CODE, code)
    with (code / "validate.py").open("a") as file:
        file.write("CHANGED = 1\n")
    assert is_up_to_date(project, "ingest")
    assert not is_up_to_date(project, "validate")


def test_git_and_dvc_keep_its_versions(project: Path) -> None:
    command = ["git", "status", "--porcelain", "--untracked-files=all"]
    said = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout
    listed = {line[3:] for line in said.splitlines()}
    assert {"params.yaml", "dvc.yaml", "data/embedded/digits.yaml", CODE, "ganlift.json"} <= listed
    command = [sys.executable, "-m", "dvc", "status"]
    subprocess.run(command, cwd=project, env=environment(), capture_output=True, check=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grid", "models/gan"], "models/gan: no such folder. Give the folder of a trained GAN"),
        (["predict", "data"], "data: holds no images"),
        (["compare", "latest~1", "latest"], "there are 0 pipeline runs. Run `ganlift run` first"),
        (["docs"], "data/real/train: images.npy is missing"),
        (["track"], "reports/gan.json: missing, so there are no results to log. Run `ganlift run`"),
        (["run", "--from", "merge"], "does not exist. Run an earlier stage first"),
    ],
)
@pytest.mark.usefixtures("prefect_url")
def test_before_any_run_each_command_says_what_is_missing(
    arguments: list[str],
    said: str,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(prefect_server, "ready", lambda *_: lambda: None)
    assert command(monkeypatch, *arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error.replace(f"{project}/", "")


def test_track_in_a_clone_does_not_blame_a_server(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "reports").mkdir()
    shutil.copy(REPOSITORY / "reports" / "gan.json", project / "reports")  # Git keeps this one
    assert command(monkeypatch, "track") == 1
    error = capsys.readouterr().err
    assert "reports/gan_curves.csv: missing" in error
    assert "server" not in error


def test_track_after_a_cross_validation_says_how_to_get_one_split(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_params(project / "params.yaml", ["ingest.folds=3"])
    assert command(monkeypatch, "track") == 1
    assert "Run `ganlift run --set ingest.folds=null`" in capsys.readouterr().err


def test_a_new_project_is_told_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC's own `init` leaves a report for its makers there, and a process that sends it."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    make_project(tmp_path / "project")
    assert not list(scratch.iterdir())


def test_a_folder_in_use_is_refused_untouched(project: Path, tmp_path: Path) -> None:
    full, file = tmp_path / "full", tmp_path / "file"
    full.mkdir()
    (full / "photo.png").write_bytes(b"mine")
    file.write_text("mine")
    for folder, why in (
        (full, "not empty"),
        (file, "a file of this name"),
        (project / "inner", "lies in the project"),
    ):
        with pytest.raises(UserError, match=why):
            make_project(folder)
    assert [path.name for path in full.iterdir()] == ["photo.png"]
    assert not (project / "inner").exists()


def test_the_link_follows_the_code_that_runs(project: Path) -> None:
    link = project / CODE
    link.unlink()
    link.symlink_to(project / "gone")  # an environment that was removed
    follow_code(project)
    assert (link / "ingest.py").is_file()


def test_the_wheel_holds_what_a_project_is_made_of(tmp_path: Path) -> None:
    build = "from hatchling.builders.wheel import WheelBuilder as B; import sys; "
    build += "[print(path) for path in B('.').build(directory=sys.argv[1], versions=['standard'])]"
    ended = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    with zipfile.ZipFile(ended.stdout.strip()) as wheel:
        held = set(wheel.namelist())
    assert {f"ganlift_project/{name}" for name in FILES} <= held
    assert {"flows/presets.yaml", "flows/shipped_before.txt", "tasks/answer/page.html.j2"} <= held

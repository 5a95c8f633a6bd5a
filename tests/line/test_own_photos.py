"""A person's photos survive whatever the settings say, through every door."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from flows.edit_params import edit_params
from tests.flows.command_line import command
from tests.line.conftest import call, copy_project

pytestmark = pytest.mark.line
PHOTOS = tuple(f"data/real/train/{name}/{n}.png" for name in ("cat", "dog") for n in range(3))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with photos where its outputs belong, and never run."""
    root = copy_project(tmp_path_factory.mktemp("photos"))
    for number, name in enumerate(PHOTOS):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 40 * number).save(root / name)
    return root


def _photos(root: Path) -> list[bytes]:
    return [(root / name).read_bytes() for name in PHOTOS]


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("data/real", "dvc repro"),
        ("data/real", "dvc repro --single-item ingest"),
        ("./data/../data//real/train/", "dvc repro --single-item --force ingest"),
        ("data/real/train/cat", "ganlift run"),
        ("data/embedded/digits.yaml", "dvc repro --single-item ingest"),
        ("data/embedded/digits.yaml", "ganlift run --until ingest"),
    ],
)
def test_photos_are_still_there(source: str, line: str, project: Path, prefect_url: str) -> None:
    before = _photos(project)
    edit_params(project / "params.yaml", [f"ingest.source={source}"])
    ended = call(project, *line.split(), prefect=prefect_url)
    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert "Traceback" not in said
    stands_there = "it stands where the pipeline writes data/real/train" in said
    if "digits" in source:
        assert stands_there
    elif line != "dvc repro":  # whose own check for cycles comes first
        assert stands_there or "which the pipeline writes itself" in said
    assert _photos(project) == before


@pytest.mark.parametrize(
    "options",
    [
        ("--source", "data/real"),
        ("--source", "data/real/train/cat"),
        ("--source", "."),
        ("--source", "link/train"),
        ("--set", "ingest.source=data", "--from", "ingest"),
    ],
)
def test_run_with_such_a_source_leaves_params_alone(
    options: tuple[str, ...],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    link = project / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(project / "data/real")
    monkeypatch.chdir(project)
    params, before = (project / "params.yaml").read_bytes(), _photos(project)
    assert command(monkeypatch, "run", *options) == 1
    error = capsys.readouterr().err
    assert "which the pipeline writes itself" in error
    assert error.count("\n") == 1
    assert (project / "params.yaml").read_bytes() == params
    assert _photos(project) == before

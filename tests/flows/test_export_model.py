"""`ganlift export model`: the winner's classifier says outside the project what it says inside."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flows.export_model import export_model
from tasks.contracts.arms import FILTERED
from tasks.contracts.errors import UserError
from tests.adapters.fake_results import CLASSES, LIFT
from tests.adapters.logged import log_results
from tests.answer.fake_report import altered
from tests.flows.command_line import command
from tests.flows.tracked import tracked_project


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Results whose verdict is "helps"; the baseline has a classifier of other weights."""
    paths = tracked_project(tmp_path, monkeypatch)
    baseline = paths["classifiers"] / LIFT.baseline
    shutil.copytree(paths["classifier"], baseline)
    change(paths["classifier"], arm=FILTERED)
    change(baseline, arm=LIFT.baseline, gan_seed=None)
    return paths


def change(classifier: Path, **values: object) -> None:
    config = json.loads((classifier / "config.json").read_text())
    (classifier / "config.json").write_text(json.dumps(config | values))


def test_the_loader_gives_what_predict_gives(
    paths: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for name, shape in {"a.png": (8, 8), "b.png": (20, 11, 3), "c.png": (9, 30)}.items():
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(photos / name)
    log_results(paths)
    assert command(monkeypatch, "predict", "photos", "--out", "told.csv") == 0
    told = pd.read_csv("told.csv")
    assert command(monkeypatch, "export", "model", "model") == 0
    files = [str(photos / name) for name in told["file"]]
    said = subprocess.run(
        [sys.executable, tmp_path / "model" / "load.py", *files],
        cwd=photos,
        env={"OMP_NUM_THREADS": "1"},  # nothing of the project is on the path
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line.split("\t") for line in said.splitlines()]
    assert [row[:2] for row in rows] == [
        list(row) for row in zip(files, told["class"], strict=True)
    ]
    assert [float(row[2]) for row in rows] == pytest.approx(told["p"].tolist(), abs=2e-6)


@pytest.mark.parametrize(
    ("verdict", "arm"),
    [("helps", LIFT.treatment), ("inconclusive", LIFT.baseline), ("hurts", LIFT.baseline)],
)
def test_the_verdict_decides_whose_classifier_it_is(
    paths: dict[str, Path], tmp_path: Path, verdict: str, arm: str
) -> None:
    paths["lift"].write_text(altered(LIFT, verdict=verdict).dumps())
    out = tmp_path / "model"
    assert f"the classifier of {arm!r} (verdict: {verdict})" in export_model(out)
    assert json.loads((out / "config.json").read_text())["arm"] == arm
    readme = (out / "README.md").read_text()
    assert f"**{verdict}**" in readme
    assert json.dumps(list(CLASSES)) in readme
    names = {path.name for path in out.iterdir()}
    assert names == {
        *("model.safetensors", "config.json", "load.py", "README.md", "requirements.txt", "code"),
    }


def test_a_classifier_of_other_classes_is_refused(paths: dict[str, Path], tmp_path: Path) -> None:
    change(paths["classifier"], class_names=["spoon", "knife"])
    with pytest.raises(UserError, match="it is not the classifier"):
        export_model(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_folder_in_the_way_is_left_as_it_is(paths: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "note").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        export_model(tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["note"]

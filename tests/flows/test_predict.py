"""`ganlift predict`: the champion's classes for a folder of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from flows.edit_params import edit_params
from tasks.adapters.tracking.model_names import registered_name
from tasks.classifier.networks import build_classifier
from tasks.contracts.image_set import ImageSet
from tasks.data.batches import to_tensor
from tasks.data.decoding import open_image, to_pixels
from tests.adapters.fake_results import DATASET, LIFT
from tests.adapters.logged import client, log_results
from tests.answer.fake_report import altered
from tests.flows.command_line import command
from tests.flows.tracked import tracked_project


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    return tracked_project(tmp_path, monkeypatch)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images of several shapes and kinds, at two depths, one of them broken."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    (folder / "deeper [red]").mkdir(parents=True)
    for name, shape in {
        "a.png": (8, 8),
        "b.jpg": (20, 11, 3),
        "deeper [red]/c, d.png": (9, 30, 3),
    }.items():
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / name)
    (folder / "broken [bold].png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def test_images_get_the_classes_that_the_champion_gives_them(
    paths: dict[str, Path],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_results(paths)
    assert command(monkeypatch, "predict", "photos", "--out", "told.csv") == 0
    said = capsys.readouterr().out
    assert f"{registered_name(DATASET)} version 1 (verdict: helps)" in said
    assert "skipped broken [bold].png: unreadable: not an image of a known format" in said
    assert "3 images told apart, 1 unreadable" in said
    table = pd.read_csv("told.csv")
    assert list(table) == ["file", "class", "p", "p_class 0", "p_class 1"]
    assert list(table["file"]) == ["a.png", "b.jpg", "deeper [red]/c, d.png"]

    network = build_classifier("small_cnn", channels=1, classes=2, image_size=8)
    network.load_state_dict(load_file(paths["classifier"] / "model.safetensors"))
    pixels = [
        to_pixels(open_image(photos / file), size=8, channels=1, fit="pad")
        for file in table["file"]
    ]
    with torch.inference_mode():
        expected = network.eval()(to_tensor(np.stack(pixels))).softmax(dim=1).numpy()
    told = table[["p_class 0", "p_class 1"]].to_numpy()
    np.testing.assert_allclose(told, expected, atol=1e-5)
    assert list(table["class"]) == [f"class {label}" for label in expected.argmax(axis=1)]
    np.testing.assert_allclose(table["p"], expected.max(axis=1), atol=1e-5)


def test_a_csv_is_not_written_over_unless_forced(
    paths: dict[str, Path],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_results(paths)
    Path("predictions.csv").write_text("mine")
    assert command(monkeypatch, "predict", "photos") == 1
    assert "is already there" in capsys.readouterr().err
    assert Path("predictions.csv").read_text() == "mine"
    assert command(monkeypatch, "predict", "photos", "--force", "--model", "1") == 0
    assert len(pd.read_csv("predictions.csv")) == 3


def test_without_a_champion_it_says_how_to_name_a_version(
    paths: dict[str, Path],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(monkeypatch, "predict", "photos") == 1
    assert "no classifier is registered" in capsys.readouterr().err
    paths["lift"].write_text(altered(LIFT, verdict="inconclusive").dumps())
    log_results(paths)
    capsys.readouterr()
    assert command(monkeypatch, "predict", "photos") == 1
    said = capsys.readouterr().err
    assert "it has no champion, because no run has shown yet" in said
    assert "--model VERSION; there are 1 (inconclusive)" in said
    assert command(monkeypatch, "predict", "photos", "--model", "7") == 1
    assert "--model 7: no such version" in capsys.readouterr().err
    assert command(monkeypatch, "predict", "photos", "--model", "1") == 0
    assert "verdict: inconclusive" in capsys.readouterr().out


def test_the_files_of_the_model_need_not_be_in_the_project(
    paths: dict[str, Path], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_results(paths)
    assert client().search_registered_models()[0].aliases["champion"] is not None
    for file in paths["classifier"].iterdir():
        file.unlink()
    assert command(monkeypatch, "predict", "photos") == 0


@pytest.mark.parametrize(
    ("make", "arguments", "said"),
    [
        (None, ["absent"], "no such folder"),
        ("empty", ["empty"], "holds no images"),
        ("all_bad", ["all_bad"], "none of its 2 images could be read"),
        ("all_bad", ["all_bad", "--out", "absent/x.csv"], "no folder"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_file(
    make: str | None,
    arguments: list[str],
    said: str,
    paths: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if make:
        (tmp_path / make).mkdir()
    if make == "all_bad":
        log_results(paths)
        for name in ("a.png", "b.jpg"):
            (tmp_path / make / name).write_bytes(b"no image")
    capsys.readouterr()
    assert command(monkeypatch, "predict", *arguments) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.rglob("*predictions.csv*"))


def test_a_registry_out_of_reach_is_named(
    paths: dict[str, Path],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nothing listens
    assert command(monkeypatch, "predict", "photos") == 1
    assert "registry: cannot reach http://127.0.0.1:9" in capsys.readouterr().err


def project_of(paths: dict[str, Path], *names: str) -> None:
    """Let the project's training images have these classes."""
    train = ImageSet.load(paths["train"])
    manifest = train.manifest.assign(class_name=[names[label] for label in train.labels])
    ImageSet(np.array(train.images), manifest).save(paths["train"])


def test_a_champion_of_other_classes_is_refused_and_a_named_version_says_so(
    paths: dict[str, Path],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_results(paths)
    project_of(paths, "knife", "spoon")
    capsys.readouterr()
    assert command(monkeypatch, "predict", "photos") == 1
    told = "of the classes 'class 0', 'class 1', not 'knife', 'spoon'"
    assert told in capsys.readouterr().err
    assert not Path("predictions.csv").exists()
    assert command(monkeypatch, "predict", "photos", "--model", "1") == 0
    assert f"note this model is {told}" in capsys.readouterr().out


def test_a_champion_of_another_size_is_refused(
    paths: dict[str, Path],
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_results(paths)
    edit_params(Path("params.yaml"), ["ingest.image_size=16"])
    assert command(monkeypatch, "predict", "photos") == 1
    assert "it is for 8 px images, where ingest.image_size=16" in capsys.readouterr().err

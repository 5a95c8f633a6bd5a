"""`ganlift export`: what is written can be read by others, and is what was there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from flows import export, folds
from flows.export import export_images
from tasks import ingest
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import SHARES, ImageSet, concatenate
from tests.contracts.tiny import tiny_params
from tests.data.fake_sets import noise_set, synthetic_set

REPOSITORY = Path(__file__).parents[2]
HARD = ("../up", "con", "Café ☕")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Three splits, and images of two GANs with their scores."""
    where = {
        name: Path("made") / name
        for name in ("train", "val", "test", "accepted", "merged", "scores")
    }
    monkeypatch.chdir(tmp_path)
    told = {name: path.as_posix() for name, path in where.items()}
    Path("dvc.yaml").write_text(yaml.safe_dump({"vars": [{"path": told}], "stages": {}}))
    monkeypatch.setattr(export, "load_params", tiny_params)
    for seed, name in enumerate(("train", "val", "test")):
        noise_set(3, HARD, seed=seed, shape=(8, 8, 3)).save(where[name])
    made = [synthetic_set(2, gan_seed, ("cat", "dog")) for gan_seed in (0, 4)]
    accepted = concatenate(made)
    scores = accepted.manifest.sample(frac=1.0, random_state=0)
    scores["p_real"] = np.linspace(0.1, 0.9, len(scores))
    plain = ImageSet(
        accepted.images,
        accepted.manifest.drop(columns=["p_real", "confidence", "nearest_distance"]),
    )
    plain.save(where["accepted"])
    kinds = {"gan_seed": "Int64", "latent_seed": "Int64"}
    own = noise_set(2, gan_seed=pd.NA, latent_seed=pd.NA, checkpoint=None)
    both = [ImageSet(one.images, one.manifest.astype(kinds)) for one in (own, plain)]
    concatenate(both).save(where["merged"])
    scores.to_parquet(where["scores"])
    return where


def exported(what: str, form: str) -> Path:
    export_images(what, Path("out"), form)
    return Path("out")


def test_class_folders_hold_every_pixel_and_tell_where_each_image_is_from(project) -> None:
    out = exported("merged", "folder")
    merged = ImageSet.load(project["merged"])
    told = pd.read_csv(out / "metadata.csv")
    for row, file in enumerate(told["file_name"]):
        np.testing.assert_array_equal(
            np.asarray(Image.open(out / file)), merged.images[row, ..., 0]
        )
    assert told["label"].tolist() == merged.manifest["class_name"].tolist()
    assert told["image_id"].tolist() == merged.manifest["image_id"].tolist()
    assert {path.name for path in out.iterdir()} == {"cat", "dog", "metadata.csv"}
    real, made = told[told["origin"] == "real"], told[told["origin"] == "synthetic"]
    assert real[["gan_seed", "p_real"]].isna().all(axis=None)
    expected = pd.read_parquet(project["scores"]).set_index("image_id")["p_real"]
    assert made["p_real"].tolist() == pytest.approx(expected[made["image_id"]].tolist())
    exact = pd.read_csv(out / "metadata.csv", dtype={"latent_seed": "Int64"})["latent_seed"]
    assert exact.tolist() == merged.manifest["latent_seed"].tolist()  # no float could hold them


def test_an_export_is_a_source_that_gives_the_same_images(project) -> None:
    out = exported("real", "folder")
    assert sorted(path.name for path in out.iterdir()) == ["metadata.csv", "test", "train", "val"]
    assert {path.name for path in (out / "train").iterdir()} == {
        "class_0__up", "class_1_con", "Café ☕",
    }  # fmt: skip
    assert set(pd.read_csv(out / "metadata.csv")["label"]) == set(HARD)
    names = (
        *("train", "val", "test", "unlabelled", "other_domain", "related", "spare", "splits"),
        *("rejects", "twins", "cut", "summary"),
    )
    again = {name: Path("again") / name for name in names}
    ingest.run(source=out, fold=0, **again, params=tiny_params().ingest, seed=0)
    for split in ("train", "val", "test"):
        one, two = (set(ImageSet.load(of[split]).manifest["image_id"]) for of in (project, again))
        assert one == two


def test_parquet_has_the_layout_of_datasets(project) -> None:
    out = exported("accepted", "parquet")
    accepted = ImageSet.load(project["accepted"])
    (file,) = out.iterdir()
    assert file.name == "train-00000-of-00001.parquet"
    table = pq.read_table(file)
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == {"_type": "Image"}
    assert features["label"] == {"names": ["cat", "dog"], "_type": "ClassLabel"}
    assert features["p_real"] == {"dtype": "float64", "_type": "Value"}
    # a feature counts only if its field has the very type that `datasets` gives it
    types = {field.name: str(field.type) for field in table.schema}
    assert types.pop("image") == "struct<bytes: binary, path: string>"
    assert types.pop("label") == "int64"
    named = {"double": "float64"}
    assert {name: named.get(kind, kind) for name, kind in types.items()} == {
        name: of["dtype"] for name, of in features.items() if of["_type"] == "Value"
    }
    for row, told in enumerate(table.to_pylist()):
        pixels = np.asarray(Image.open(BytesIO(told["image"]["bytes"])))
        np.testing.assert_array_equal(pixels, accepted.images[row, ..., 0])
        assert told["label"] == accepted.labels[row]
        assert told["latent_seed"] == accepted.manifest["latent_seed"][row]


def test_the_splits_are_files_of_their_own(project) -> None:
    export_images("real", Path("a"), "parquet")
    assert {path.name.split("-")[0] for path in Path("a").iterdir()} == {
        "train", "validation", "test",
    }  # fmt: skip
    export_images("real", Path("b"), "npz")
    assert {path.name for path in Path("b").iterdir()} == {"train.npz", "val.npz", "test.npz"}


def test_arrays_need_no_pickle(project) -> None:
    merged = ImageSet.load(project["merged"])
    with np.load(exported("merged", "npz") / "images.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["images"], merged.images)
        np.testing.assert_array_equal(arrays["labels"], merged.labels)
        assert arrays["class_names"].tolist() == ["cat", "dog"]
        assert arrays["gan_seed"].tolist() == [-1] * 4 + [0] * 4 + [4] * 4


def test_soft_labels_stand_beside_the_images_in_every_form(project) -> None:
    soft = np.random.default_rng(0).dirichlet([1.0, 1.0], 8).astype(np.float32)
    merged = ImageSet.load(project["merged"])
    told = [None] * 4 + list(soft)
    ImageSet(merged.images, merged.manifest.assign(**{SHARES: told})).save(project["merged"])
    for form in ("folder", "parquet", "npz"):
        export_images("merged", Path(form), form)
    listed = pd.read_csv("folder/metadata.csv")[SHARES]
    assert listed[:4].isna().all()
    np.testing.assert_allclose([json.loads(text) for text in listed[4:]], soft)
    (file,) = Path("parquet").iterdir()
    table = pq.read_table(file)
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    value = {"dtype": "float32", "_type": "Value"}
    assert features[SHARES] == {"feature": value, "_type": "Sequence"}
    rows = table[SHARES].to_pylist()
    assert rows[:4] == [None] * 4
    np.testing.assert_array_equal(np.array(rows[4:], dtype=np.float32), soft)
    with np.load("npz/images.npz", allow_pickle=False) as arrays:
        assert np.isnan(arrays[SHARES][:4]).all()
        np.testing.assert_array_equal(arrays[SHARES][4:], soft)


@pytest.mark.parametrize("stands", ["file", "full", "link", "inside"])
def test_nothing_is_written_over(project, tmp_path: Path, stands: str) -> None:
    out = tmp_path / "out"
    if stands == "file":
        out.write_text("mine")
    elif stands == "full":
        out.mkdir()
        (out / "note").write_text("mine")
    elif stands == "link":
        (tmp_path / "elsewhere").mkdir()
        out.symlink_to(tmp_path / "elsewhere")
    else:
        out = project["train"] / "out"
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"is already there|is not empty|lies in"):
        export_images("real", out, "folder")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_export_that_breaks_off_leaves_nothing(project, tmp_path: Path) -> None:
    (project["merged"] / "images.npy").unlink()
    (tmp_path / "out").mkdir()
    (tmp_path / ".ganlift" / "exports").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError):
        exported("merged", "folder")
    assert sorted(tmp_path.rglob("*")) == before


def test_scores_of_other_images_are_not_put_beside_these(project) -> None:
    pd.read_parquet(project["scores"]).iloc[1:].to_parquet(project["scores"])
    with pytest.raises(UserError, match="not of these images"):
        exported("accepted", "npz")


@pytest.mark.parametrize(("what", "form"), [("pools", "folder"), ("real", "zip"), ("model", "npz")])
def test_an_unknown_word_is_answered_with_those_there_are(project, what: str, form: str) -> None:
    with pytest.raises(UserError, match=r"Choose one of|not of a model"):
        export_images(what, Path("out"), form)


def test_what_a_killed_export_left_is_removed_and_nothing_else(
    project: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = """
import os, signal, sys
from pathlib import Path
from flows import export, folds
from tests.contracts.tiny import tiny_params
export.load_params = tiny_params
export.FORMATS = {"folder": lambda *_: os.kill(os.getpid(), signal.SIGKILL)}
export.export_images("accepted", Path("out"), "folder")
"""
    ended = subprocess.run(
        [sys.executable, "-c", kill], env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    (left,) = Path().glob(".out.part-*")
    Path(".out.part-1").mkdir()  # of nobody that is known
    exported("accepted", "npz")
    assert not left.exists()
    assert Path(".out.part-1").is_dir()
    assert not list(Path(".ganlift/exports").iterdir())


def test_after_a_cross_validation_it_is_said_how_to_get_one_split(
    project: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folds, "load_params", lambda: tiny_params(ingest={"folds": 3}))
    shutil.rmtree(project["merged"])
    with pytest.raises(UserError, match=r"folds/NUMBER.*--set ingest\.folds=null"):
        export_images("merged", Path("out"), "folder")
    exported("accepted", "npz")  # which is there

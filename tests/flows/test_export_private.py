"""`ganlift export private`: what the guarantee covers is written, and nothing else leaves."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from flows import export
from flows.export import export_images
from flows.export_private import export_private
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.gan.checkpoint import checkpoint_hash, load_generator, save_checkpoint
from tasks.gan.model import build_gan
from tasks.gan.pool import ASKED, make_pool
from tasks.gan.sampling import sample
from tests.answer.fake_sharing import GUARANTEE
from tests.contracts.tiny import SHAPES, shape_set, tiny_params

SECRET = "ab" * 32
COUNTS = {0: 3, 1: 2, 2: 4}


def promise(told: Path, folder: Path, **changes: object) -> None:
    """Write what training says of the two GANs."""
    entries = {
        str(seed): {
            "checkpoint": checkpoint_hash(folder / str(seed)),
            "privacy": dataclasses.asdict(GUARANTEE) | changes,
            "evaluation": {"kid": 0.01},
        }
        for seed in (0, 1)
    }
    told.write_text(json.dumps(entries))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Two private GANs, their pool, and all else that a project has."""
    names = ("train", "val", "gan", "pool", "accepted", "scores", "gan_metrics")
    where = {name: Path("made") / name for name in names}
    monkeypatch.chdir(tmp_path)
    told = {name: path.as_posix() for name, path in where.items()}
    Path("dvc.yaml").write_text(yaml.safe_dump({"vars": [{"path": told}], "stages": {}}))
    monkeypatch.setattr(export, "load_params", tiny_params)
    train, params = shape_set(4), tiny_params().train_gan
    for seed in (0, 1):
        save_checkpoint(
            where["gan"] / str(seed), build_gan(train, params, seed), SHAPES, params, seed
        )
    folders = {seed: where["gan"] / str(seed) for seed in (0, 1)}
    make_pool(folders, COUNTS, 0, where["pool"], lambda share, text: None, asked=COUNTS)
    promise(where["gan_metrics"], where["gan"])
    train.save(where["train"])
    ImageSet.load(where["pool"]).take([0, 5]).save(where["accepted"])
    Path(".ganlift").mkdir()
    Path(".ganlift/noise_secret").write_text(SECRET)
    return where


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("form", "held"),
    [
        ("npz", {"images/images.npz"}),
        ("parquet", {"images/train-00000-of-00001.parquet"}),
    ],
)
def test_it_holds_what_is_promised_and_no_other_file(project, form: str, held: set[str]) -> None:
    said = export_private(Path("out"), form)
    assert said == "18 images and 2 generators under (ε = 8.23, δ = 1e-05): out"
    generators = {
        f"generators/{seed}/{name}"
        for seed in (0, 1)
        for name in ("generator.safetensors", "config.json")
    }
    assert files(Path("out")) == held | generators | {"PRIVACY.md", "privacy.json"}


def test_every_image_of_the_pool_is_there_and_nothing_that_was_measured_or_counted(project) -> None:
    export_private(Path("out"), "folder")
    told = pd.read_csv("out/images/metadata.csv")
    assert ASKED in ImageSet.load(project["pool"]).manifest
    assert list(told) == [
        "file_name", "label", "image_id", "origin", "source", "group", "gan_seed", "latent_seed",
        "checkpoint",
    ]  # fmt: skip
    assert told["image_id"].tolist() == ImageSet.load(project["pool"]).manifest["image_id"].tolist()
    images = [path for path in files(Path("out/images")) if path.endswith(".png")]
    assert len(images) == 2 * sum(COUNTS.values())
    for path in Path("out").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
    for seed in ("0", "1"):
        config = json.loads(Path("out/generators", seed, "config.json").read_text())
        assert set(config) == {"schema", "network", "seed", "class_names", "train_gan"}


def test_the_generators_make_the_images_again(project) -> None:
    export_private(Path("out"), "npz")
    pool = ImageSet.load(project["pool"])
    for seed in (0, 1):
        mine = np.flatnonzero(pool.manifest["gan_seed"] == seed)
        generator = load_generator(Path("out/generators") / str(seed))
        latent_seeds = pool.manifest["latent_seed"].to_numpy()[mine]
        made = sample(generator, pool.labels[mine], latent_seeds)
        np.testing.assert_array_equal(made, pool.images[mine])


def test_a_key_of_the_config_that_is_not_known_stays_here(project) -> None:
    for seed in ("0", "1"):
        path = project["gan"] / seed / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"mean_of_real": 0.3}))
    folders = {seed: project["gan"] / str(seed) for seed in (0, 1)}
    make_pool(folders, COUNTS, 0, project["pool"], lambda share, text: None)
    promise(project["gan_metrics"], project["gan"])
    export_private(Path("out"), "npz")
    assert "mean_of_real" not in Path("out/generators/0/config.json").read_text()


@pytest.mark.parametrize("counts", ["public", "noised"])
def test_the_statement_says_what_is_promised_and_on_what_it_rests(project, counts: str) -> None:
    promise(project["gan_metrics"], project["gan"], class_counts=counts, unit="group")
    export_private(Path("out"), "npz")
    said = Path("out/PRIVACY.md").read_text(encoding="utf-8")
    for part in (
        "**(ε = 8.23, δ = 1e-05)-differential privacy**",
        "Each of 2 GANs spends ε = 4.1, all together 8.23",
        "2,400 steps of the discriminator, each on any of 1,200 groups with probability 0.0533",
        "gradients clipped to 1, noise of 0.91 times that",
        "all training images of any one group",
        "the number of groups",
        "stays secret",
        "18 of them",
    ):
        assert part in said
    assert ("number of images of each class" in said) == (counts == "public")
    figures = json.loads(Path("out/privacy.json").read_text())
    assert (figures["epsilon"], figures["delta"], figures["unit"]) == (8.23, 1e-5, "group")
    assert figures["gans"]["1"]["noise_multiplier"] == 0.91
    assert "kid" not in json.dumps(figures)


def test_a_gan_without_a_guarantee_is_refused_with_the_way_to_one(project) -> None:
    told = json.loads(project["gan_metrics"].read_text())
    for missing in ({"privacy": None}, {}):
        told["1"] = {"checkpoint": told["1"]["checkpoint"]} | missing
        project["gan_metrics"].write_text(json.dumps(told))
        with pytest.raises(UserError, match=r"gan/1: .*guarantee.*ganlift run --preset private"):
            export_private(Path("out"), "npz")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("weights", "is not the GAN that"),
        ("pool", "made by other GANs"),
        ("count", "not over the 2 GANs"),
        ("damaged", "guarantee of GAN 0 is damaged"),
        ("missing", "is missing"),
        ("form", "--format zip: is not known"),
    ],
)
def test_what_does_not_belong_together_is_refused_and_nothing_is_left(
    project, fault: str, reason: str
) -> None:
    told = project["gan_metrics"]
    if fault == "weights":
        path = project["gan"] / "0" / "config.json"
        path.write_text(path.read_text() + "\n")
    elif fault == "pool":
        pool = ImageSet.load(project["pool"])
        ImageSet(pool.images[:], pool.manifest.assign(checkpoint="ef" * 32)).save(project["pool"])
    elif fault == "count":
        promise(told, project["gan"], gans=3)
    elif fault == "damaged":
        promise(told, project["gan"], of_whom="?")
    elif fault == "missing":
        told.unlink()
    with pytest.raises(UserError, match=reason):
        export_private(Path("out"), "zip" if fault == "form" else "npz")
    assert not list(Path().glob("*out*"))


def test_it_writes_over_nothing_and_is_not_among_the_plain_sets(project) -> None:
    Path("out").mkdir()
    Path("out/mine").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        export_private(Path("out"), "npz")
    assert files(Path("out")) == {"mine"}
    with pytest.raises(UserError, match=r"Choose one of real, .*, model, private"):
        export_images("pools", Path("new"), "npz")

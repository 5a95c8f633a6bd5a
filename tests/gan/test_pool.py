from __future__ import annotations

import tracemalloc
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from tasks import generate
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, image_id
from tasks.contracts.params.generate import GenerateParams
from tasks.gan import pool as pool_module
from tasks.gan.checkpoint import checkpoint_hash, load_generator, save_checkpoint
from tasks.gan.model import build_gan
from tasks.gan.pool import make_fresh, make_pool
from tasks.gan.sampling import sample
from tests.contracts.tiny import SHAPES, shape_set, tiny_params


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # where some tests put something in its place


@pytest.fixture(scope="module")
def gans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained checkpoints of two seeds."""
    folder = tmp_path_factory.mktemp("gan")
    params = tiny_params().train_gan
    for seed in (0, 11):
        gan = build_gan(shape_set(2), params, seed)
        save_checkpoint(folder / str(seed), gan, SHAPES, params, seed)
    return folder


def generated(gans: Path, out: Path, seed: int = 0) -> ImageSet:
    return generated_for(gans, out, tiny_params().generate, seed=seed)


def generated_for(
    gans: Path, out: Path, params: GenerateParams, target: str = "ratio", seed: int = 0
) -> ImageSet:
    """Real images: 5 circles, 3 squares and 1 triangle."""
    train = shape_set(5).take([0, 1, 2, 3, 4, 5, 6, 7, 10])
    train.save(out.parent / "train")
    generate.run(
        gan=gans,
        train=out.parent / "train",
        target_per_class=target,
        synthetic_per_real=2.0,
        pool=out,
        params=params,
        seed=seed,
    )
    return ImageSet.load(out)


def test_every_checkpoint_gives_its_share_of_every_class(gans: Path, tmp_path: Path) -> None:
    pool = generated(gans, tmp_path / "new" / "pool")
    table = pool.manifest.groupby(["gan_seed", "class_name"]).size()
    assert table.to_dict() == {(seed, name): 5 for seed in (0, 11) for name in SHAPES}
    assert pool.class_names == SHAPES
    assert set(pool.manifest["origin"]) == {"synthetic"}
    assert pool.manifest["source"].is_unique
    assert [image_id(image) for image in pool.images] == pool.manifest["image_id"].tolist()
    assert pool.manifest["group"].tolist() == pool.manifest["image_id"].tolist()


def test_an_image_is_made_again_from_its_row_alone(gans: Path, tmp_path: Path) -> None:
    pool = generated(gans, tmp_path / "pool", seed=5)
    for row in (0, 7, 14, 15, 29):
        told = pool.manifest.iloc[row]
        folder = gans / str(told["gan_seed"])
        assert checkpoint_hash(folder) == told["checkpoint"]
        assert told["source"] == f"{told['checkpoint']}:{told['latent_seed']}"
        (again,) = sample(
            load_generator(folder),
            np.array([told["label"]]),
            np.array([told["latent_seed"]]),
        )
        np.testing.assert_array_equal(again, pool.images[row])


def test_the_same_seed_gives_the_same_bytes_another_another_pool(
    gans: Path, tmp_path: Path
) -> None:
    one, _ = generated(gans, tmp_path / "a"), generated(gans, tmp_path / "b")
    for name in ("images.npy", "manifest.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    other = generated(gans, tmp_path / "c", seed=1)
    assert not set(one.manifest["latent_seed"]) & set(other.manifest["latent_seed"])


def test_as_many_processes_as_there_are_cores_make_the_same_bytes(
    gans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generated(gans, tmp_path / "one")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    monkeypatch.setattr(pool_module, "_AT_ONCE", 4)
    monkeypatch.setattr(pool_module, "_WORTH_SECONDS", 0.0)
    monkeypatch.setattr(pool_module, "sample", Mock(wraps=sample))
    generated(gans, tmp_path / "two")
    assert pool_module.sample.call_count == 1  # the others are made elsewhere
    for name in ("images.npy", "manifest.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def made(folders: dict[int, Path], per_class: int, seed: int, out: Path) -> ImageSet:
    make_pool(folders, dict.fromkeys(range(3), per_class), seed, out, lambda done, text: None)
    return ImageSet.load(out)


def test_a_larger_pool_keeps_the_images_of_a_smaller_one(gans: Path, tmp_path: Path) -> None:
    small, large = (
        set(made({0: gans / "0"}, n, 0, tmp_path / f"{n}").manifest["image_id"]) for n in (3, 5)
    )
    assert small < large


def test_a_pool_is_written_as_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its images no more than a few are in memory at once."""
    params, train = tiny_params().train_gan, shape_set(2, size=64, channels=3)
    save_checkpoint(tmp_path / "0", build_gan(train, params, 0), SHAPES, params, 0)
    monkeypatch.setattr(pool_module, "_AT_ONCE", 64)
    monkeypatch.setattr(
        pool_module, "sample", lambda _, labels, __: np.zeros((len(labels), 64, 64, 3), np.uint8)
    )
    done: list[float] = []
    tracemalloc.start()
    counts = dict.fromkeys(range(3), 500)
    make_pool(
        {0: tmp_path / "0"}, counts, 0, tmp_path / "pool", lambda share, _: done.append(share)
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ImageSet.load(tmp_path / "pool").images.shape == (1500, 64, 64, 3)
    assert peak < 1500 * 64 * 64 * 3 / 2
    assert done == sorted(done)
    assert done[-1] == 1.0


def test_its_bytes_are_those_of_a_set_that_is_saved(gans: Path, tmp_path: Path) -> None:
    pool = generated(gans, tmp_path / "pool")
    pool.save(tmp_path / "saved")
    for name in ("images.npy", "manifest.parquet"):
        assert (tmp_path / "saved" / name).read_bytes() == (tmp_path / "pool" / name).read_bytes()


def test_no_latent_of_a_pool_is_used_for_calibration(
    gans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the images do not matter here, and a pool of 200,000 takes long
    monkeypatch.setattr(
        pool_module, "sample", lambda _, labels, __: np.zeros((len(labels), 8, 8, 1), np.uint8)
    )
    fresh: set[int] = set()
    for seed in (0, 1, 2**20 - 1, 2**20, 2**31):
        labels = np.tile(np.arange(3), 50)
        fresh |= set(make_fresh(gans / "0", 0, labels, seed).manifest["latent_seed"])
    for seed in (0, 1, 2**20 - 1, 2**20, 2**31):
        latents = made({0: gans / "0"}, 20_000, seed, tmp_path / "pool").manifest["latent_seed"]
        assert latents.is_unique
        assert latents.min() >= 0
        assert not fresh & set(latents)


def test_fresh_images_have_the_labels_asked_for(gans: Path) -> None:
    labels = np.array([2, 0, 0, 1])
    fresh = make_fresh(gans / "0", 0, labels, seed=0)
    assert fresh.labels.tolist() == labels.tolist()
    assert fresh.manifest["class_name"].tolist() == [SHAPES[label] for label in labels]


@pytest.mark.parametrize(
    ("target", "made"),
    [("ratio", [24, 24, 24]), ("balance", [16, 16, 16]), ("20", [60, 68, 76])],
)
def test_as_many_are_made_as_the_merge_needs(
    gans: Path, tmp_path: Path, target: str, made: list[int]
) -> None:
    params = GenerateParams(per_class="auto", per_needed=4)
    pool = generated_for(gans, tmp_path / "pool", params, target)
    counts = pool.manifest.groupby(["gan_seed", "label"]).size()
    assert counts.to_dict() == {
        (seed, label): made[label] for seed in (0, 11) for label in (0, 1, 2)
    }


def test_more_for_a_class_leaves_the_images_of_the_others_as_they_were(
    gans: Path, tmp_path: Path
) -> None:
    params = GenerateParams(per_class="auto", per_needed=4)
    small, large = (
        generated_for(gans, tmp_path / target / "pool", params, target).manifest
        for target in ("balance", "20")
    )
    assert set(small["image_id"]) <= set(large["image_id"])


def test_a_target_that_no_setting_knows_is_named(gans: Path, tmp_path: Path) -> None:
    params = GenerateParams(per_class="auto", per_needed=4)
    with pytest.raises(UserError, match=r"merge\.target_per_class"):
        generated_for(gans, tmp_path / "pool", params, "evenly")


def test_without_a_checkpoint_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no checkpoint"):
        generated(tmp_path / "none", tmp_path / "pool")
    assert not (tmp_path / "pool").exists()

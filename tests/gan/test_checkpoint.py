from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from tasks.contracts.errors import UserError
from tasks.gan.checkpoint import (
    checkpoint_hash,
    checkpoints,
    load_config,
    load_discriminator,
    load_generator,
    save_checkpoint,
)
from tasks.gan.model import Gan, build_gan
from tasks.gan.networks import NETWORKS
from tests.contracts.tiny import SHAPES, shape_set, tiny_params

FILES = ("config.json", "discriminator.safetensors", "generator.safetensors")
PARAMS = tiny_params().train_gan
LATENTS, LABELS = torch.randn(3, 4), torch.arange(3)


def as_loaded(gan: Gan) -> Gan:
    """Lay the weights in memory as loading does: in another layout sums round differently."""
    for network in (gan.generator, gan.ema, gan.discriminator):
        network.to(memory_format=torch.contiguous_format)
    return gan


@pytest.fixture
def gan() -> Gan:
    gan = build_gan(shape_set(2), PARAMS, 0)
    with torch.no_grad():
        for parameter in gan.ema.parameters():  # not the same weights as the generator
            parameter.add_(0.01)
    return gan


@pytest.fixture
def folder(tmp_path: Path, gan: Gan) -> Path:
    folder = tmp_path / "gan" / "0"
    save_checkpoint(folder, gan, SHAPES, PARAMS, 0)
    return folder


def test_what_is_loaded_is_the_average_and_the_discriminator(folder: Path, gan: Gan) -> None:
    generator, discriminator = load_generator(folder), load_discriminator(folder)
    as_loaded(gan)
    assert torch.equal(generator(LATENTS, LABELS), gan.ema(LATENTS, LABELS))
    assert not torch.equal(generator(LATENTS, LABELS), gan.generator(LATENTS, LABELS))
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(discriminator(images, LABELS), gan.discriminator(images, LABELS))
    for network in (generator, discriminator):
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_config_tells_how_to_build_it(folder: Path, gan: Gan) -> None:
    config = load_config(folder)
    assert config["schema"] == "ganlift/checkpoint/2"
    assert config["class_names"] == list(SHAPES)
    assert config["network"] == dataclasses.asdict(gan.spec)
    assert (config["network"]["image_size"], config["network"]["channels"]) == (8, 1)
    assert config["train_gan"]["total_kimg"] == PARAMS.total_kimg
    assert config["train_gan"]["penalties"]["r1"] == PARAMS.penalties.r1
    assert config["seed"] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": (0, 7)},
        {"tick_kimg": 9.0, "grid_kimg": 9.0, "state_kimg": 9.0},
        {"device": "auto"},
        {"processes": 2},
    ],
)
def test_where_and_how_often_it_was_told_does_not_change_the_hash(
    folder: Path, gan: Gan, tmp_path: Path, change: dict[str, object]
) -> None:
    other = PARAMS.model_copy(update=change)
    assert save_checkpoint(tmp_path / "x", gan, SHAPES, other, 0) == checkpoint_hash(folder)
    slower = PARAMS.model_copy(update={"learning_rate": 1e-5})
    assert save_checkpoint(tmp_path / "y", gan, SHAPES, slower, 0) != checkpoint_hash(folder)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_comes_back_as_it_was(network: str, tmp_path: Path) -> None:
    changes = {"network": network, "conditioning": "auxiliary", "spectral_norm": True}
    if network == "vae":
        changes = {"network": network, "conditioning": "concat"}
    params = PARAMS.model_copy(update=changes)
    others = shape_set(3, seed=1) if network == "translator" else None
    gan = build_gan(shape_set(2), params, 0, others)
    with torch.no_grad():
        for part in (gan.ema, gan.discriminator):
            for tensor in part.state_dict().values():  # running statistics and progress too
                tensor.mul_(1.5) if tensor.is_floating_point() else tensor.add_(1)
    save_checkpoint(tmp_path / "gan", gan, SHAPES, params, 0, others)
    generator, discriminator = (
        load(tmp_path / "gan") for load in (load_generator, load_discriminator)
    )
    as_loaded(gan)
    assert torch.equal(generator(LATENTS, LABELS), gan.ema.eval()(LATENTS, LABELS))
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(discriminator(images, LABELS), gan.discriminator.eval()(images, LABELS))


def test_the_same_gan_gives_the_same_bytes_and_hash(folder: Path, gan: Gan, tmp_path: Path) -> None:
    again = tmp_path / "again"
    digest = save_checkpoint(again, gan, SHAPES, PARAMS, 0)
    assert digest == checkpoint_hash(folder)
    assert sorted(path.name for path in again.iterdir()) == list(FILES)
    for name in FILES:
        assert (again / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_anywhere_changes_the_hash(folder: Path, name: str) -> None:
    digest = checkpoint_hash(folder)
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(content)
    assert checkpoint_hash(folder) != digest


def test_swapped_files_change_the_hash(folder: Path, tmp_path: Path) -> None:
    digest = checkpoint_hash(folder)
    shutil.move(folder / FILES[1], tmp_path / "x")
    shutil.move(folder / FILES[2], folder / FILES[1])
    shutil.move(tmp_path / "x", folder / FILES[2])
    assert checkpoint_hash(folder) != digest


def load_all(folder: Path) -> None:
    checkpoint_hash(folder)
    load_generator(folder)
    load_discriminator(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None, b"[]", b"{}"])
def test_a_damaged_or_missing_file_is_named(folder: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(UserError, match="Train again") as caught:
        load_all(folder)
    assert caught.value.thing == str(folder / name)


def test_half_a_file_is_damaged_too(folder: Path) -> None:
    path = folder / "generator.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="do not fit"):
        load_generator(folder)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("width", 8, "do not fit"),
        ("image_size", 16, "do not fit"),
        ("network", "resnet", "do not fit"),
        ("network", "gone", "unknown network 'gone'"),
        ("width", "8", "damaged"),
        ("width", -1, "damaged"),
        ("conditioning", "gone", "damaged"),
        ("classes", 4, "damaged: 3 class names, a network of 4"),
        ("surprise", 1, "damaged"),
    ],
)
def test_weights_of_another_network_are_refused(
    folder: Path, key: str, value: object, words: str
) -> None:
    config = load_config(folder)
    config["network"] |= {key: value}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=words) as caught:
        load_generator(folder)
    assert len(str(caught.value)) < 500


def test_a_checkpoint_of_another_version_says_so(folder: Path) -> None:
    config = load_config(folder) | {"schema": "ganlift/checkpoint/1"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"checkpoint/1.*reads ganlift/checkpoint/2.*Train again"):
        load_config(folder)


def test_no_pickle_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pickle was read")

    for module, name in ((pickle, "load"), (pickle, "loads"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    load_all(folder)


def test_checkpoints_are_listed_by_seed_as_numbers(folder: Path) -> None:
    for name in ("10", "2", "notes", ".tmp"):
        (folder.parent / name).mkdir()
    (folder.parent / "3").touch()  # a file is none
    assert list(checkpoints(folder.parent)) == [0, 2, 10]


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match="holds no checkpoint"):
            checkpoints(folder)

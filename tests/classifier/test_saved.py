from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tasks.classifier.networks import build_classifier
from tasks.classifier.saved import ClassifierConfig, load_classifier, save_classifier, state_of
from tasks.contracts.errors import UserError

CONFIG = ClassifierConfig("small_cnn", 3, 8, ("cat", "dög"), "real+filtered", 4, 7)


def saved(folder: Path, config: ClassifierConfig = CONFIG) -> torch.nn.Module:
    torch.manual_seed(1)
    network = build_classifier(
        config.classifier, channels=3, classes=2, image_size=config.image_size
    )
    network = network.to(memory_format=torch.channels_last)
    digest = save_classifier(folder, state_of(network), config)
    assert digest == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return network.eval()


@pytest.mark.parametrize(
    ("name", "size"), [("small_cnn", 8), ("mobilenet_v3_small", 32), ("mobilenetv4_conv_small", 32)]
)
def test_a_round_trip_judges_the_same(name: str, size: int, tmp_path: Path) -> None:
    config = replace(CONFIG, classifier=name, image_size=size)
    network = saved(tmp_path / "classifier", config)
    again, told = load_classifier(tmp_path / "classifier")
    assert replace(told, class_names=tuple(told.class_names)) == config
    images = torch.randn(4, 3, size, size)
    torch.testing.assert_close(again(images), network(images))
    assert not again.training


def test_the_config_says_what_it_is(tmp_path: Path) -> None:
    saved(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {
        "schema": "ganlift/classifier/1",
        "classifier": "small_cnn",
        "channels": 3,
        "image_size": 8,
        "class_names": ["cat", "dög"],
        "arm": "real+filtered",
        "seed": 4,
        "gan_seed": 7,
    }


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        saved(tmp_path / name)
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b""),
        ("config.json", b'{"schema": "ganlift/classifier/0"}'),
        ("config.json", b'{"schema": "ganlift/classifier/1", "classifier": "small_cnn"}'),
        ("model.safetensors", b"nothing"),
        ("model.safetensors", None),
    ],
)
def test_a_damaged_folder_is_said(file: str, content: bytes | None, tmp_path: Path) -> None:
    saved(tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError, match="no classifier can be read from it"):
        load_classifier(tmp_path)


def test_weights_of_another_number_of_classes_are_said(tmp_path: Path) -> None:
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    text = json.dumps(config | {"class_names": ["cat", "dog", "owl"]})
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match="no classifier can be read from it"):
        load_classifier(tmp_path)

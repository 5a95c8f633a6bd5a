from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tasks.classifier.networks import build_classifier
from tasks.classifier.saved import load_weights, weights_digest
from tasks.contracts.errors import UserError

LIBRARY = ["mobilenet_v3_small", "mobilenetv4_conv_small"]  # torchvision's, timm's


def build(name: str, classes: int = 3, channels: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_classifier(name, channels=channels, classes=classes, image_size=32)


def load(network: nn.Module, path: Path, name: str, classes: int = 3) -> list[str]:
    return load_weights(network, path, name, classes=classes, shape=(32, 32, 3))


def inner(network: nn.Module) -> dict[str, torch.Tensor]:
    """Weights as a library itself would save them."""
    return {key.removeprefix("model."): value for key, value in network.state_dict().items()}


@pytest.mark.parametrize("name", ["small_cnn", *LIBRARY])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_of_the_same_network_are_taken_over(name: str, suffix: str, tmp_path: Path) -> None:
    source, path = build(name, seed=1), tmp_path / f"weights{suffix}"
    save = save_file if suffix == ".safetensors" else torch.save
    for held in (source.state_dict(), inner(source)):  # as ganlift saves it, and the library
        save({key: value.contiguous() for key, value in held.items()}, path)
        network = build(name)
        assert load(network, path, name) == []
        for key, value in network.state_dict().items():
            assert torch.equal(value, source.state_dict()[key]), key


@pytest.mark.parametrize("name", ["small_cnn", *LIBRARY])
def test_a_head_for_other_classes_stays_fresh_and_is_named(name: str, tmp_path: Path) -> None:
    source, network, before = build(name, classes=7, seed=1), build(name), build(name)
    torch.save(inner(source), tmp_path / "weights.pth")
    state = torch.get_rng_state()
    fresh = load(network, tmp_path / "weights.pth", name)
    assert torch.equal(torch.get_rng_state(), state)
    assert 1 <= len(fresh) <= 2
    taken = inner(network)
    for key, value in taken.items():
        expected = inner(before if key in fresh else source)[key]
        assert torch.equal(value, expected), key


def test_anything_else_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    whole = build("small_cnn").state_dict()
    cases = {
        "it lacks 'head.bias'": {k: v for k, v in whole.items() if k != "head.bias"},
        "it holds 'more'": whole | {"more": torch.zeros(1)},
        r"'features.0.0.weight' is \(32, 1, 3, 3\), where \(32, 3, 3, 3\) is wanted": build(
            "small_cnn", channels=1
        ).state_dict(),
    }
    for reason, held in cases.items():
        torch.save(held, path)
        network = build("small_cnn")
        with pytest.raises(UserError, match=f"weights.pth: it does not fit small_cnn: {reason}"):
            load(network, path, "small_cnn")
        for key, value in network.state_dict().items():
            assert torch.equal(value, whole[key]), key
    torch.save(build("mobilenet_v3_small").state_dict(), path)
    with pytest.raises(UserError, match="does not fit small_cnn"):
        load(build("small_cnn"), path, "small_cnn")


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return open, ("trapped", "w")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_bad_file_is_refused_and_never_unpickled(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"weights{suffix}"
    network = build("small_cnn")
    with pytest.raises(UserError, match="no such file"):
        load(network, path, "small_cnn")
    for content in (b"", b"not weights", b"\x80\x04"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="it cannot be read as weights alone"):
            load(network, path, "small_cnn")
    torch.save(Trap(), path)
    with pytest.raises(UserError, match="it cannot be read as weights alone"):
        load(network, path, "small_cnn")
    assert not (tmp_path / "trapped").exists()


def test_more_than_a_state_dict_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    for held in ({"model": build("small_cnn").state_dict(), "epoch": 3}, [torch.zeros(2)]):
        torch.save(held, path)
        with pytest.raises(UserError, match="holds more than tensors by name") as caught:
            load(build("small_cnn"), path, "small_cnn")
        assert "torch.save(model.state_dict()" in caught.value.mend


def test_the_digest_is_the_files(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"abc")
    assert weights_digest(tmp_path / "weights") == hashlib.sha256(b"abc").hexdigest()

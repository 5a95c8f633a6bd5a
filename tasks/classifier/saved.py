"""Classifiers on disk: weights that training starts from, and trained ones. Nothing is unpickled.

A trained one is ``model.safetensors`` beside a ``config.json``.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import save_file
from safetensors.torch import load_file
from torch import Tensor, nn

from tasks.classifier.networks import build_classifier
from tasks.contracts.errors import UserError

State = dict[str, npt.NDArray[Any]]
SCHEMA = "ganlift/classifier/1"
WEIGHTS, CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True)
class ClassifierConfig:
    """How to build a classifier again, and which run it came from.

    Attributes:
        classifier: its name, as `build_classifier` takes it.
        channels: of its images.
        image_size: in pixels.
        class_names: in the order of its outputs.
        arm: that trained it.
        seed: of the classifier.
        gan_seed: the GAN behind its synthetic images, if any.
    """

    classifier: str
    channels: int
    image_size: int
    class_names: Sequence[str]
    arm: str
    seed: int
    gan_seed: int | None


def state_of(network: nn.Module) -> State:
    """Return a copy of the weights, as arrays that pickle."""
    return {
        name: tensor.contiguous().numpy().copy() for name, tensor in network.state_dict().items()
    }


def save_classifier(folder: Path, state: State, config: ClassifierConfig) -> str:
    """Write weights and their config; return the sha256 of the weights' file."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / WEIGHTS)
    content = {"schema": SCHEMA} | asdict(config) | {"class_names": list(config.class_names)}
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def load_classifier(folder: Path) -> tuple[nn.Module, ClassifierConfig]:
    """Return the classifier, in eval mode on the CPU, and its config.

    Raises:
        UserError: a file is missing, damaged or of another version of ganlift.
    """
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        if content.pop("schema") != SCHEMA:
            raise ValueError("of another version of ganlift")
        config = ClassifierConfig(**content)
        with torch.random.fork_rng():
            network = build_classifier(
                config.classifier,
                channels=config.channels,
                classes=len(config.class_names),
                image_size=config.image_size,
            )
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise UserError(
            str(folder),
            f"no classifier can be read from it ({str(error).splitlines()[0]})",
            "Train again: `ganlift run --from retrain --force`",
        ) from None
    return network.eval(), config


def load_weights(
    network: nn.Module,
    path: Path,
    classifier: str,
    *,
    classes: int,
    shape: tuple[int, int, int],
) -> list[str]:
    """Load a file of weights into a classifier; a head for other classes stays as it is.

    Args:
        network: what `build_classifier` built of the other arguments.
        path: ``.safetensors`` or ``.pth``: tensors by name, as torchvision, timm or ganlift
            save them.
        classifier: its name.
        classes: K.
        shape: of an image, (H, W, C).

    Returns:
        names of the weights that stay fresh: of other shape, and such as K decides.

    Raises:
        UserError: the file is missing, damaged or of another network.
    """
    held, own = _read(path), network.state_dict()
    inner = "model."  # a library's model is wrapped
    if not any(name in own for name in held):
        held = {inner + name: tensor for name, tensor in held.items()}
    strange = sorted(held.keys() - own.keys()) or sorted(own.keys() - held.keys())
    if strange:
        word = "it holds" if strange[0] in held else "it lacks"
        raise _misfit(path, f"{word} {strange[0].removeprefix(inner)!r}", classifier)
    fresh = [name for name in own if held[name].shape != own[name].shape]
    if fresh:
        size, _, channels = shape
        with torch.random.fork_rng():
            other = build_classifier(
                classifier, channels=channels, classes=classes + 1, image_size=size
            ).state_dict()
    for name in fresh:
        if other[name].shape == own[name].shape:
            told = f"{tuple(held[name].shape)}, where {tuple(own[name].shape)} is wanted"
            raise _misfit(path, f"{name.removeprefix(inner)!r} is {told}", classifier)
    network.load_state_dict(own | {name: held[name] for name in own if name not in fresh})
    return [name.removeprefix(inner) for name in fresh]


def weights_digest(path: Path) -> str:
    """Return the sha256 of the file, as hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"retrain.weights: {path}", "no such file", "Give a file, or null")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # what it warns of, it refuses next
            held = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError, RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError,
    ) as error:  # fmt: skip
        reason = f"it cannot be read as weights alone ({type(error).__name__})"
        raise UserError(f"retrain.weights: {path}", reason, _SAVE) from None
    if not isinstance(held, dict) or not all(isinstance(one, Tensor) for one in held.values()):
        raise UserError(f"retrain.weights: {path}", "it holds more than tensors by name", _SAVE)
    return held


_SAVE = "Save a state dict: torch.save(model.state_dict(), FILE), or a .safetensors file"


def _misfit(path: Path, reason: str, classifier: str) -> UserError:
    return UserError(
        f"retrain.weights: {path}",
        f"it does not fit {classifier}: {reason}",
        "Give weights of that very classifier and number of channels, or set retrain.weights=null",
    )

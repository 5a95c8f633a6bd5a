"""Classifier weights on disk: what training starts from. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tasks.classifier.networks import build_classifier
from tasks.contracts.errors import UserError


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

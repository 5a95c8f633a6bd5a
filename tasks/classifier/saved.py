"""A trained classifier on disk: weights as safetensors beside a ``config.json``, never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import save_file
from safetensors.torch import load_file
from torch import nn

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

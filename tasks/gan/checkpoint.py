"""A checkpoint: weights as safetensors beside a ``config.json``, never a pickle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params import TrainGanParams
from tasks.gan.networks import NETWORKS
from tasks.gan.training import Gan

GENERATOR, DISCRIMINATOR, CONFIG = (
    "generator.safetensors",
    "discriminator.safetensors",
    "config.json",
)
_MEND = "Train again: `ganlift run --from train_gan --force`"


def save_checkpoint(
    folder: Path, gan: Gan, train: ImageSet, params: TrainGanParams, seed: int
) -> str:
    """Write the averaged generator, the discriminator and how to build them; return the hash."""
    folder.mkdir(parents=True, exist_ok=True)
    size, _, channels = train.image_shape
    config = {
        "schema": "ganlift/checkpoint/1",
        "network": params.network,
        "seed": seed,
        "image_size": size,
        "channels": channels,
        "class_names": list(train.class_names),
        "latent_dim": params.latent_dim,
        "width": params.width,
        "train_gan": params.model_dump(mode="json", exclude={"seeds", "tick_kimg", "grid_kimg"}),
    }
    save_file(_weights(gan.ema), folder / GENERATOR)
    save_file(_weights(gan.discriminator), folder / DISCRIMINATOR)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
    return checkpoint_hash(folder)


def checkpoint_hash(folder: Path) -> str:
    """Return the sha256 over config and weights, which names this checkpoint everywhere."""
    digest = hashlib.sha256()
    for name in (CONFIG, GENERATOR, DISCRIMINATOR):
        digest.update(hashlib.sha256(_existing(folder / name).read_bytes()).digest())
    return digest.hexdigest()


def checkpoints(folder: Path) -> dict[int, Path]:
    """Return the checkpoint folder of each GAN seed under ``models/gan``, in order of seed.

    Raises:
        UserError: there is none.
    """
    found = {int(path.name): path for path in folder.glob("*/") if path.name.isdecimal()}
    if not found:
        raise UserError(str(folder), "holds no checkpoint", _MEND)
    return dict(sorted(found.items()))


def load_config(folder: Path) -> dict[str, Any]:
    """Read ``config.json``.

    Raises:
        UserError: it is missing, damaged, or of an unknown network.
    """
    path = _existing(folder / CONFIG)
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known = config["network"] in NETWORKS
    except (ValueError, KeyError, TypeError):
        raise UserError(str(path), "damaged", _MEND) from None
    if not known:
        raise UserError(str(path), f"unknown network {config['network']!r}", _MEND)
    return config


def load_generator(folder: Path) -> nn.Module:
    """Return the averaged generator, in eval mode on the CPU.

    Raises:
        UserError: a file is missing, damaged, or of another network.
    """
    config = load_config(folder)
    build = NETWORKS[config["network"]].generator
    network = build(**_shape(config), latent_dim=config["latent_dim"], width=config["width"])
    return _restore(network, folder / GENERATOR)


def load_discriminator(folder: Path) -> nn.Module:
    """Return the discriminator, in eval mode on the CPU. Raises as `load_generator`."""
    config = load_config(folder)
    network = NETWORKS[config["network"]].discriminator(**_shape(config), width=config["width"])
    return _restore(network, folder / DISCRIMINATOR)


def _weights(network: nn.Module) -> dict[str, Any]:
    return {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()}


def _shape(config: dict[str, Any]) -> dict[str, int]:
    return {
        "image_size": config["image_size"],
        "channels": config["channels"],
        "classes": len(config["class_names"]),
    }


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(str(path), "no such file", _MEND)
    return path


def _restore(network: nn.Module, path: Path) -> nn.Module:
    try:
        network.load_state_dict(load_file(_existing(path)))
    except (SafetensorError, RuntimeError) as error:
        reason = f"the weights do not fit ({str(error).splitlines()[0]})"
        raise UserError(str(path), reason, _MEND) from None
    return network.eval().requires_grad_(False)

"""A checkpoint: weights as safetensors beside a ``config.json``, never a pickle.

That of a translator holds the images that it turns too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.model import Gan
from tasks.gan.networks import (
    NETWORKS,
    NetworkSpec,
    TranslatorGenerator,
    build_discriminator,
    build_generator,
)
from tasks.gan.networks.translator import Contents

SCHEMA = "ganlift/checkpoint/2"
GENERATOR, DISCRIMINATOR, CONFIG = (
    "generator.safetensors",
    "discriminator.safetensors",
    "config.json",
)
CONTENTS = "contents"  # an ImageSet
_MEND = "Train again: `ganlift run --from train_gan --force`"
# where and how often, which no weight depends on, and the seeds of other checkpoints
_LEFT_OUT = {"seeds", "tick_kimg", "grid_kimg", "state_kimg", "device", "processes"}


def save_checkpoint(
    folder: Path,
    gan: Gan,
    class_names: Sequence[str],
    params: TrainGanParams,
    seed: int,
    contents: ImageSet | None = None,
    related_names: Sequence[str] = (),
) -> str:
    """Write the averaged generator, the discriminator and how to build them; return the hash.

    Args:
        folder: made if it is not there.
        gan: its networks.
        class_names: in the order of their labels.
        params: the section that they were trained by.
        seed: of the GAN.
        contents: the images that a translator turns, of which its images are made.
        related_names: of the classes beside, which it learned too and no image is made of.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if contents is not None:
        contents.save(folder / CONTENTS)
    config = {
        "schema": SCHEMA,
        "network": dataclasses.asdict(gan.spec),
        "seed": seed,
        "class_names": list(class_names),
        "related_names": list(related_names),
        "train_gan": params.model_dump(mode="json", exclude=_LEFT_OUT),
    }
    save_file(_weights(gan.ema), folder / GENERATOR)
    save_file(_weights(gan.discriminator), folder / DISCRIMINATOR)
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (folder / CONFIG).write_text(text, encoding="utf-8")
    return checkpoint_hash(folder)


def load_contents(folder: Path) -> ImageSet | None:
    """Return the images that a checkpoint's translator turns; None where it has no such.

    Raises:
        UserError: they are damaged, or the config is.
    """
    _, spec = _read(folder)
    return ImageSet.load(folder / CONTENTS) if spec.network == "translator" else None


def checkpoint_hash(folder: Path) -> str:
    """Return the sha256 over config, weights and contents, which names this checkpoint."""
    digest = hashlib.sha256()
    weights = (folder / name for name in (CONFIG, GENERATOR, DISCRIMINATOR))
    for path in (*weights, *sorted((folder / CONTENTS).glob("*"))):
        digest.update(hashlib.sha256(_existing(path).read_bytes()).digest())
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

    It holds schema, network (the `NetworkSpec`), seed, class_names, related_names and train_gan.

    Raises:
        UserError: it is missing, damaged, of another version of ganlift or an unknown network.
    """
    config, _ = _read(folder)
    return config


def load_generator(folder: Path) -> nn.Module:
    """Return the averaged generator, in eval mode on the CPU.

    Raises:
        UserError: a file is missing, damaged, or of another network.
    """
    _, spec = _read(folder)
    generator = _restore(build_generator(spec), folder / GENERATOR)
    contents = load_contents(folder)
    if isinstance(generator, TranslatorGenerator) and contents is not None:
        generator.contents = Contents.of(contents)
    return generator


def load_discriminator(folder: Path) -> nn.Module:
    """Return the discriminator, in eval mode on the CPU. Raises as `load_generator`."""
    _, spec = _read(folder)
    return _restore(build_discriminator(spec), folder / DISCRIMINATOR)


def check_checkpoint(folder: Path, images: ImageSet) -> None:
    """Refuse a checkpoint that was trained on something else than these images.

    Raises:
        UserError: its size, channels or classes differ, or it is damaged.
    """
    config = load_config(folder)
    spec = config["network"]
    ours = (*images.image_shape[::2], list(images.class_names))
    theirs = (spec["image_size"], spec["channels"], config["class_names"])
    for what, mine, its in zip(("image size", "channels", "classes"), ours, theirs, strict=True):
        if mine != its:
            raise UserError(
                str(folder),
                f"a checkpoint of another data set: its {what} are {its}, the images' {mine}",
                _MEND,
            )


def _read(folder: Path) -> tuple[dict[str, Any], NetworkSpec]:
    path = _existing(folder / CONFIG)
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema = config["schema"]
        if schema != SCHEMA:
            raise UserError(str(path), f"of schema {schema!r}; this ganlift reads {SCHEMA}", _MEND)
        name = config["network"]["network"]
        if name not in NETWORKS:
            raise UserError(str(path), f"unknown network {name!r}", _MEND)
        spec = NetworkSpec(**config["network"])
        classes = len(config["class_names"]) + len(config.get("related_names", ()))
    except (ValueError, KeyError, TypeError, ValidationError):
        raise UserError(str(path), "damaged", _MEND) from None
    if spec.classes != classes:
        raise UserError(
            str(path), f"damaged: {classes} class names, a network of {spec.classes}", _MEND
        )
    return config, spec


def _weights(network: nn.Module) -> dict[str, Any]:
    return {
        name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()
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

"""Networks of the smallest size that still means something."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from tasks.contracts.image_set import ImageSet
from tasks.gan.networks import (
    NetworkSpec,
    TranslatorGenerator,
    build_discriminator,
    build_generator,
)
from tasks.gan.networks.translator import Contents
from tests.data.fake_sets import image_set


def tiny_spec(network: str = "conv", **overrides: Any) -> NetworkSpec:
    """A spec of width 4 for three classes of grey 8 px images; the autoencoder's concat."""
    values: dict[str, Any] = {
        "network": network,
        "conditioning": "concat" if network == "vae" else "projection",
        "latent_dim": 5,
        "width": 4,
        "spectral_norm": False,
        "dropout": 0.0,
        "image_size": 8,
        "channels": 1,
        "classes": 3,
    }
    return NetworkSpec(**values | overrides)


def noise_of(spec: NetworkSpec, each: int = 4, seed: int = 0) -> ImageSet:
    """Images of every class, such as a translator may turn."""
    labels = np.repeat(np.arange(spec.classes), each)
    shape = (len(labels), spec.image_size, spec.image_size, spec.channels)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return image_set(pixels, labels, [f"class {label}" for label in range(spec.classes)])


def grown_pair(spec: NetworkSpec, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator in eval mode, at full size."""
    torch.manual_seed(seed)
    pair = build_generator(spec).eval(), build_discriminator(spec).eval()
    if isinstance(pair[0], TranslatorGenerator):
        pair[0].contents = Contents.of(noise_of(spec))
    for network in pair:
        if hasattr(network, "set_progress"):
            network.set_progress(1.0)
    return pair

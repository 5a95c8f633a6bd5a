"""Networks of the smallest size that still means something."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tasks.gan.networks import NetworkSpec, build_discriminator, build_generator


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


def grown_pair(spec: NetworkSpec, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator in eval mode, at full size."""
    torch.manual_seed(seed)
    pair = build_generator(spec).eval(), build_discriminator(spec).eval()
    for network in pair:
        if hasattr(network, "set_progress"):
            network.set_progress(1.0)
    return pair

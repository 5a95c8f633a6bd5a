"""Generators and discriminators by name. A new pair is one module and one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from tasks.gan.networks.conv import ConvDiscriminator, ConvGenerator


@dataclass(frozen=True)
class NetworkPair:
    """How to build a generator and its discriminator (keyword arguments as in `conv`)."""

    generator: Callable[..., nn.Module]
    discriminator: Callable[..., nn.Module]


NETWORKS = {"conv": NetworkPair(ConvGenerator, ConvDiscriminator)}

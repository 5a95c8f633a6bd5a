"""Generators and discriminators by name. A new pair is one module and one entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from tasks.gan.networks.autoencoder import VaeScore
from tasks.gan.networks.conditioning import Discriminator, Judgement, Trunk
from tasks.gan.networks.conv import ConvGenerator, ConvTrunk
from tasks.gan.networks.dcgan import DcganGenerator, DcganTrunk
from tasks.gan.networks.progressive import ProgressiveDiscriminator, ProgressiveGenerator
from tasks.gan.networks.resnet import ResnetGenerator, ResnetTrunk
from tasks.gan.networks.spec import NetworkSpec
from tasks.gan.networks.stylegan import StyleGenerator
from tasks.gan.networks.translator import TranslatorGenerator, translator_discriminator

__all__ = [
    "NETWORKS",
    "Discriminator",
    "Judgement",
    "NetworkPair",
    "NetworkSpec",
    "TranslatorGenerator",
    "build_discriminator",
    "build_generator",
]


@dataclass(frozen=True)
class NetworkPair:
    """How to build a generator and its discriminator from a spec.

    A generator maps latents ``[N, Z]`` and labels ``[N]`` to images ``[N, C, H, W]`` in -1..1
    and has an attribute ``latent_dim``; a discriminator maps images and labels to logits
    ``[N]``. In eval mode both are pure functions of what they are given.
    """

    generator: Callable[[NetworkSpec], nn.Module]
    discriminator: Callable[[NetworkSpec], nn.Module]


def with_trunk(generator: Callable[[NetworkSpec], nn.Module], trunk: Trunk) -> NetworkPair:
    """Pair a generator with a trunk that any conditioning can judge by."""
    return NetworkPair(generator, lambda spec: Discriminator(trunk, spec))


NETWORKS = {
    "conv": with_trunk(ConvGenerator, ConvTrunk),
    "dcgan": with_trunk(DcganGenerator, DcganTrunk),
    "resnet": with_trunk(ResnetGenerator, ResnetTrunk),
    "stylegan": with_trunk(StyleGenerator, ResnetTrunk),
    "progressive": NetworkPair(ProgressiveGenerator, ProgressiveDiscriminator),
    "translator": NetworkPair(TranslatorGenerator, translator_discriminator),
    "vae": NetworkPair(ConvGenerator, VaeScore),
}


def build_generator(spec: NetworkSpec) -> nn.Module:
    """Build an untrained generator, its weights drawn from torch's global random state."""
    return NETWORKS[spec.network].generator(spec)


def build_discriminator(spec: NetworkSpec) -> nn.Module:
    """Build an untrained discriminator (`Discriminator`, or `VaeScore` for ``vae``)."""
    return NETWORKS[spec.network].discriminator(spec)

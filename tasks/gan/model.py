"""The networks of one GAN while it trains."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.device import device_of
from tasks.gan.networks import NetworkSpec, build_discriminator, build_generator


@dataclass
class Gan:
    """The networks of one run; `ema` is the generator that is kept."""

    spec: NetworkSpec
    generator: nn.Module
    discriminator: nn.Module
    ema: nn.Module


def build_gan(train: ImageSet, params: TrainGanParams, seed: int) -> Gan:
    """Build untrained networks for the images' size, channels and classes, on their device.

    Torch's global random state is left as it was.

    Raises:
        UserError: the device asked for is not there.
    """
    device = device_of(params)
    spec = NetworkSpec.of(params, train.image_shape, len(train.class_names))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator, discriminator = build_generator(spec), build_discriminator(spec)
    for network in (generator, discriminator):  # channels last: a tenth faster (docs/log.md)
        network.to(device).to(memory_format=torch.channels_last)
    ema = copy.deepcopy(generator).requires_grad_(False).eval()
    return Gan(spec, generator, discriminator, ema)

"""The networks of one GAN: built, placed on a device, and averaged while it trains."""

from __future__ import annotations

import copy
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.networks import (
    NetworkSpec,
    TranslatorGenerator,
    build_discriminator,
    build_generator,
)
from tasks.gan.networks.translator import Contents

_RAMP = 0.05  # of the images seen so far: early averages forget fast


@dataclass
class Gan:
    """The networks of one run; `ema` is the generator that is kept."""

    spec: NetworkSpec
    generator: nn.Module
    discriminator: nn.Module
    ema: nn.Module


def build_gan(
    train: ImageSet,
    params: TrainGanParams,
    seed: int,
    other_domain: ImageSet | None = None,
    related: ImageSet | None = None,
) -> Gan:
    """Build untrained networks for the images' size, channels and classes, on their device.

    Torch's global random state is left as it was. A translator turns images of ``other_domain``
    into such of this one, and while it trains those of ``train`` back. The classes of ``related``
    come after those of ``train``.

    Raises:
        UserError: the device asked for is not there.
    """
    device = device_of(params)
    beside = 0 if related is None else len(related.class_names)
    spec = NetworkSpec.of(params, train.image_shape, len(train.class_names) + beside)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator, discriminator = build_generator(spec), build_discriminator(spec)
    if isinstance(generator, TranslatorGenerator):
        assert other_domain is not None
        generator.contents = Contents.of(other_domain, train)
    for network in (generator, discriminator):  # channels last: a tenth faster (docs/log.md)
        network.to(device).to(memory_format=torch.channels_last)
    ema = copy.deepcopy(generator).requires_grad_(False).eval()
    return Gan(spec, generator, discriminator, ema)


def check_training_set(
    train: ImageSet,
    params: TrainGanParams,
    other_domain: ImageSet | None = None,
    related: ImageSet | None = None,
) -> None:
    """Refuse what these images cannot train; settings that never go together are refused before.

    Raises:
        UserError: a single class, colour augmentation of grey images, a translator and a class
            that has nothing to be translated, or related classes beside what cannot use them.
    """
    if len(train.class_names) < 2:
        raise UserError(
            "train_gan",
            f"the only class is {', '.join(train.class_names) or 'missing'}, so there is nothing "
            "that a classifier could learn better",
            "Give images of at least two classes to ingest.source",
        )
    if "color" in params.diffaug and train.image_shape[2] == 1:
        raise UserError(
            "train_gan.diffaug", "`color` is for colour images, these are grey", "Leave it out"
        )
    named = () if other_domain is None else other_domain.class_names
    missing = [name for name in train.class_names if name not in named]
    if params.network == "translator" and missing:
        raise UserError(
            "train_gan.network: translator",
            f"it turns images of another domain into this one's, and class {missing[0]!r} has none",
            f"Put images of it into the folder other_domain/{missing[0]}/ beside the classes, or "
            "choose another network",
        )
    if params.related == "joint" and related is not None and len(related):
        apart = {
            "train_gan.network: translator": params.network == "translator",
            "train_gan.privacy.epsilon": params.private,
        }
        why = {
            "train_gan.network: translator": "a translator knows two domains of the same classes",
            "train_gan.privacy.epsilon": "its guarantee is about the images of real/train alone",
        }
        for name, applies in apart.items():
            if applies:
                raise UserError(
                    name,
                    f"{why[name]}, and there are images of {len(related.class_names)} related "
                    "classes",
                    "Set train_gan.related=none, so that GANs do not see them, or move the folder "
                    "related/ out of the source",
                )


def device_of(params: TrainGanParams) -> torch.device:
    """Return the device asked for; under a launcher, the GPU of this process's own number.

    Raises:
        UserError: a GPU is asked for and there is none, or there are fewer than processes.
    """
    there = torch.cuda.is_available()
    if params.device == "cuda" and not there:
        raise UserError("train_gan.device: cuda", "no GPU is in reach", "Use auto or cpu")
    if params.device == "cpu" or not there:
        return torch.device("cpu")
    if params.processes > torch.cuda.device_count():
        raise UserError(
            f"train_gan.processes: {params.processes}",
            f"each needs a GPU of its own, and there are {torch.cuda.device_count()}",
            "Lower it, or set train_gan.device=cpu",
        )
    torch.set_float32_matmul_precision("high")  # TF32: three more bits of mantissa than bfloat16
    torch.backends.cudnn.allow_tf32 = True
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def precision_of(params: TrainGanParams, device: torch.device) -> AbstractContextManager[object]:
    """Return a context for forward passes: bfloat16 where asked for, by default on a GPU alone.

    Private training is in float32.
    """
    gpu = device.type == "cuda" and not params.private
    half = params.precision == "bfloat16" or (params.precision == "auto" and gpu)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=half, cache_enabled=False)


def ema_decay(images_seen: int, batch_size: int, halflife_kimg: float) -> float:
    """Return the decay of one step, its half-life ramped as in StyleGAN2-ADA.

    Half-life in images is ``min(halflife_kimg * 1000, 0.05 * images_seen)`` (Karras et al.
    2020, arXiv:2006.06676, and its training loop).
    """
    halflife = min(halflife_kimg * 1000.0, _RAMP * images_seen)
    return float(0.5 ** (batch_size / max(halflife, 1e-8)))


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move `average` towards `model`: ``average = decay * average + (1 - decay) * model``."""
    move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    move([*average.parameters()], [*model.parameters()], 0)
    for kept, current in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(current)

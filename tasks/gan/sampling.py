"""What trained networks give: images of a generator, each repeatable, and logits of images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tasks.contracts.image_set import Images, ImageSet, Labels
from tasks.data.batches import to_images, to_tensor
from tasks.gan.networks import TranslatorGenerator

_BATCH = 64  # always this many at once: the same arithmetic whatever is asked for
_JUDGED = 256  # images that a discriminator judges at once


def latents_of(latent_seeds: Labels, latent_dim: int) -> Tensor:
    """Standard normal latents ``[N, latent_dim]``, row i drawn from ``latent_seeds[i]`` alone."""
    rows = [np.random.default_rng(int(s)).standard_normal(latent_dim) for s in latent_seeds]
    return torch.from_numpy(np.array(rows, dtype=np.float32).reshape(-1, latent_dim))


def sample(generator: nn.Module, labels: Labels, latent_seeds: Labels) -> Images:
    """Make one image for each (label, latent seed): uint8 ``[N, H, W, C]``.

    The generator has to be in eval mode; images are made on the device where it lies.
    An image depends on its own label and seed alone, not on what else is asked for.
    """
    asked = np.asarray(labels, dtype=np.int64)

    def make(latents: Tensor, rows: Labels) -> Tensor:
        made: Tensor = generator(latents, torch.from_numpy(asked[rows]).to(latents.device))
        return made

    return _made(generator, latent_seeds, make)


def translate(generator: TranslatorGenerator, images: Images, latent_seeds: Labels) -> Images:
    """Turn images of the other domain into such of its own, one for each latent seed.

    Args:
        generator: in eval mode.
        images: uint8 ``[N, H, W, C]``.
        latent_seeds: ``[N]``; they draw the look, and the image is the content.

    Returns:
        uint8 ``[N, H, W, C]``, each of its own image and seed alone.
    """

    def make(latents: Tensor, rows: Labels) -> Tensor:
        content = to_tensor(images[rows]).to(latents.device)
        own = torch.zeros(len(rows), dtype=torch.long, device=latents.device)  # any class of it
        return generator.turn(content, latents, own)

    return _made(generator, latent_seeds, make)


@torch.inference_mode()
def _made(
    generator: nn.Module, latent_seeds: Labels, make: Callable[[Tensor, Labels], Tensor]
) -> Images:
    """Make an image of each latent; ``make`` is given latents and their rows.

    Batches are filled up to one size, because a convolution may round differently at another.
    """
    latent_dim = int(generator.latent_dim)  # type: ignore[arg-type]
    device, count = lies_on(generator), len(latent_seeds)
    parts = []
    for start in range(0, count, _BATCH):
        rows = np.arange(start, start + _BATCH).clip(max=count - 1)
        latents = latents_of(latent_seeds[rows], latent_dim)
        parts.append(to_images(make(latents.to(device), rows))[: count - start])
    return np.concatenate(parts)


@torch.inference_mode()
def discriminator_logits(network: nn.Module, images: ImageSet) -> npt.NDArray[np.float64]:
    """Logits ``[N]`` of images under their labels; higher is more real.

    In eval mode, on the network's device, pixels scaled as in training; what is said of an image
    does not depend on its neighbours, for batch norm goes by what it saw in training.
    """
    network.eval()
    device = lies_on(network)
    parts = [
        network(
            to_tensor(np.asarray(images.images[start : start + _JUDGED])).to(device),
            torch.from_numpy(images.labels[start : start + _JUDGED]).to(device),
        )
        for start in range(0, len(images), _JUDGED)
    ]
    result: npt.NDArray[np.float64] = torch.cat(parts).double().cpu().numpy()
    return result


def lies_on(network: nn.Module) -> torch.device:
    """Return the device where a network lies."""
    return next((p.device for p in network.parameters()), torch.device("cpu"))

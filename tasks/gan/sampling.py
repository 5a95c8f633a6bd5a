"""What trained networks give: images of a generator, each repeatable, and logits of images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tasks.contracts.image_set import Images, ImageSet, Labels
from tasks.data.batches import to_images, to_tensor

_BATCH = 64  # always this many at once: the same arithmetic whatever is asked for
_JUDGED = 256  # images that a discriminator judges at once


def latents_of(latent_seeds: Labels, latent_dim: int) -> Tensor:
    """Standard normal latents ``[N, latent_dim]``, row i drawn from ``latent_seeds[i]`` alone."""
    rows = [np.random.default_rng(int(s)).standard_normal(latent_dim) for s in latent_seeds]
    return torch.from_numpy(np.array(rows, dtype=np.float32).reshape(-1, latent_dim))


@torch.inference_mode()
def sample(generator: nn.Module, labels: Labels, latent_seeds: Labels) -> Images:
    """Make one image for each (label, latent seed): uint8 ``[N, H, W, C]``.

    The generator has to be in eval mode; images are made on the device where it lies.
    An image depends on its own label and seed alone, not on what else is asked for: batches
    are padded to one size, because a convolution may round differently at another.
    """
    latent_dim = int(generator.latent_dim)  # type: ignore[arg-type]
    device = lies_on(generator)
    parts = []
    for start in range(0, len(labels), _BATCH):
        part = np.asarray(labels[start : start + _BATCH], dtype=np.int64)
        seeds = np.asarray(latent_seeds[start : start + _BATCH], dtype=np.int64)
        fill = _BATCH - len(part)
        padded = torch.from_numpy(np.pad(part, (0, fill)))
        latents = latents_of(np.pad(seeds, (0, fill)), latent_dim)
        made = generator(latents.to(device), padded.to(device))
        parts.append(to_images(made)[: len(part)])
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

"""Images from a generator. Each image has a latent seed of its own, so it can be made again."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from tasks.contracts.image_set import Images, Labels
from tasks.data.batches import to_images

_BATCH = 64  # always this many at once: the same arithmetic whatever is asked for


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
    device = _device(generator)
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


def sample_grid(generator: nn.Module, classes: int, columns: int = 8) -> Images:
    """A picture ``[classes * H, columns * W, C]``, one row a class, the same latents each time."""
    labels = np.repeat(np.arange(classes, dtype=np.int64), columns)
    images = sample(generator, labels, np.tile(np.arange(columns, dtype=np.int64), classes))
    _, height, width, channels = images.shape
    grid = images.reshape(classes, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(classes * height, columns * width, channels)


def _device(generator: nn.Module) -> torch.device:
    return next((p.device for p in generator.parameters()), torch.device("cpu"))

"""Terms added to the adversarial loss: per-sample, shape ``[N]`` (or ``[N/2]`` for pairs)."""

from __future__ import annotations

import torch
from torch import Tensor


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Squared norm of the logit's gradient by its image, ``[N]``.

    On real images it is R1, on fakes R2 (Mescheder et al. 2018, arXiv:1801.04406, eq. 9-10).
    `images` ``[N, C, H, W]`` must require gradients and `logits` ``[N]`` come from them. The
    paper's factor gamma/2 is the caller's.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3))


def mode_seeking(images: Tensor, latents: Tensor) -> Tensor:
    """Inverse of image distance over latent distance for pairs of one class, ``[N/2]``.

    Mao et al. 2019 (MSGAN, arXiv:1903.05628, eq. 2): small when far latents give far images.
    Image ``i`` is paired with ``i + N/2``; the caller gives both halves the same labels.
    """
    first, second = images.chunk(2)
    z_first, z_second = latents.chunk(2)
    image_distance = (first - second).abs().mean(dim=(1, 2, 3))
    latent_distance = (z_first - z_second).abs().mean(dim=1)
    return 1.0 / (image_distance / latent_distance + 1e-5)

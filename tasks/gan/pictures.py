"""Pictures that show what a generator has learned, beside the grid of its classes.

Every picture is uint8 ``[H, W, C]``, made of fixed latents: two checkpoints differ by their
weights alone. The generator has to be in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images
from tasks.data.batches import to_images
from tasks.gan.sampling import latents_of, sample_grid

TRUNCATIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
_BATCH = 64  # images at once, so that many classes need no more memory than few
_MIXED_CLASSES = 4  # of the style-mixing picture, which has several rows for each


class StyleNetwork(Protocol):
    """A generator in two steps, with styles ``[N, L, D]`` between them, one a layer.

    Attributes:
        mean_style: of each class, ``[K, D]``.
    """

    mean_style: Tensor

    def map(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents ``[N, Z]``, labels ``[N]`` to styles."""

    def synthesise(self, styles: Tensor) -> Tensor:
        """Styles to images ``[N, C, H, W]`` in -1..1."""


def has_styles(generator: object) -> TypeGuard[StyleNetwork]:
    """Tell whether the generator maps latents to styles first."""
    return all(hasattr(generator, name) for name in ("map", "mean_style", "synthesise"))


@torch.inference_mode()
def interpolation(generator: nn.Module, classes: int, steps: int = 8) -> Images:
    """Walk from one fixed latent to another, one row a class: ``[classes * H, steps * W, C]``.

    Spherical between latents (Shoemake 1985, sec. 3.3: their length stays typical of a normal
    draw); straight between styles, which fill no sphere.
    """
    labels = _labels(generator, classes)
    first, last = (latents.expand(classes, -1) for latents in _latents(generator, 2).chunk(2))
    walk = [step / (steps - 1) for step in range(steps)]
    if has_styles(generator):
        start, end = generator.map(first, labels), generator.map(last, labels)
        parts = [_in_parts(generator.synthesise, torch.lerp(start, end, share)) for share in walk]
    else:
        parts = [_in_parts(generator, slerp(first, last, share), labels) for share in walk]
    return _board(parts)


def slerp(first: Tensor, last: Tensor, share: float) -> Tensor:
    """Spherical interpolation of rows ``[N, Z]``: ``first`` at share 0, ``last`` at 1."""
    cosine = torch.cosine_similarity(first, last, dim=1).clamp(-1.0, 1.0)
    angle = torch.acos(cosine).clamp_min(1e-4).unsqueeze(1)  # (nearly) parallel: a straight line
    mixed: Tensor = torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * last
    return mixed / torch.sin(angle)


@torch.inference_mode()
def truncation_sweep(
    generator: nn.Module, classes: int, values: Sequence[float] = TRUNCATIONS
) -> Images:
    """From the most typical image to the freest, one row a class and one column a value.

    A value scales a style's distance to the mean style (Karras et al. 2019, app. B), or the
    latent where there are no styles. Returns ``[classes * H, len(values) * W, C]``.
    """
    labels = _labels(generator, classes)
    latents = _latents(generator, 1).expand(classes, -1)
    if has_styles(generator):
        mean = generator.mean_style[labels].unsqueeze(1)
        offset = generator.map(latents, labels) - mean
        parts = [_in_parts(generator.synthesise, mean + value * offset) for value in values]
    else:
        parts = [_in_parts(generator, value * latents, labels) for value in values]
    return _board(parts)


@torch.inference_mode()
def style_mixing(generator: nn.Module, label: int, rows: int = 3, columns: int = 7) -> Images:
    """Coarse layers of one image, fine ones of another (Karras et al. 2019, arXiv:1812.04948).

    The sources stand in the first row (fine) and the first column (coarse), the corner is
    white. Returns ``[(rows + 1) * H, (columns + 1) * W, C]``.

    Raises:
        UserError: the generator has no styles.
    """
    latents = _latents(generator, rows + columns)
    if not has_styles(generator):
        raise UserError(
            "picture style-mixing",
            "this generator has no styles to mix",
            f"Choose one of {', '.join(offered(generator))}",
        )
    styles = generator.map(latents, torch.full((len(latents),), label, device=latents.device))
    coarse, fine = styles[:rows], styles[rows:]
    crossover = max(1, styles.shape[1] // 2)
    white = torch.ones_like(generator.synthesise(fine[:1]))
    parts = [torch.cat([white, generator.synthesise(coarse)])]
    for column in fine.chunk(columns):
        mixed = torch.cat([coarse[:, :crossover], column[:, crossover:].expand(rows, -1, -1)], 1)
        parts.append(torch.cat([generator.synthesise(column), generator.synthesise(mixed)]))
    return _board(parts)


def _mixing_by_class(generator: nn.Module, classes: int) -> Images:
    """Return the style mixing of the first few classes, one above the other."""
    return np.concatenate([style_mixing(generator, k) for k in range(min(classes, _MIXED_CLASSES))])


PICTURES: dict[str, Callable[[nn.Module, int], Images]] = {
    "classes": sample_grid,
    "interpolation": interpolation,
    "truncation": truncation_sweep,
    "style-mixing": _mixing_by_class,
}
"""A picture by name, of a generator and its number of classes."""


def offered(generator: nn.Module) -> tuple[str, ...]:
    """Return the names in `PICTURES` that this generator can be shown by."""
    return tuple(name for name in PICTURES if name != "style-mixing" or has_styles(generator))


def _latents(generator: nn.Module, count: int) -> Tensor:
    """Return fixed latents ``[count, Z]`` on the generator's device."""
    latents = latents_of(np.arange(count), int(generator.latent_dim))  # type: ignore[arg-type]
    return latents.to(_device(generator))


def _labels(generator: nn.Module, classes: int) -> Tensor:
    return torch.arange(classes, device=_device(generator))


def _device(generator: nn.Module) -> torch.device:
    return next(generator.parameters()).device


def _in_parts(make: Callable[..., Tensor], *rows: Tensor) -> Tensor:
    """Make images ``[N, C, H, W]`` from tensors of N rows, some at a time."""
    parts = zip(*(torch.split(of, _BATCH) for of in rows), strict=True)
    return torch.cat([make(*part) for part in parts])


def _board(columns: Sequence[Tensor]) -> Images:
    """Set columns of images, each ``[rows, C, H, W]``, side by side."""
    cells = np.stack([to_images(column) for column in columns], axis=1)
    rows, across, height, width, channels = cells.shape
    board: Images = cells.transpose(0, 2, 1, 3, 4).reshape(rows * height, across * width, channels)
    return board

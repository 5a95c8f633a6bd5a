"""Pictures that show what a generator has learned.

Every picture is a `Board` made of fixed latents: two checkpoints differ by their weights alone. A
row is a class; of more than 32 classes, 32 spread evenly over all are shown. The generator has to
be in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Labels
from tasks.data.batches import to_images
from tasks.gan.board import Board
from tasks.gan.sampling import latents_of, lies_on, sample

TRUNCATIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
_COLUMNS = 8  # of a grid of samples
_MOST_ROWS = 32  # so that a picture of a thousand classes can be looked at
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


def sample_grid(generator: nn.Module, names: Sequence[str]) -> Board:
    """Eight images of each class, of the same latents in every row and each time."""
    labels = _shown(names)
    latent_seeds = np.tile(np.arange(_COLUMNS, dtype=np.int64), len(labels))
    images = sample(generator, np.repeat(labels, _COLUMNS), latent_seeds)
    cells = images.reshape(len(labels), _COLUMNS, *images.shape[1:])
    return Board(cells, [names[label] for label in labels])


@torch.inference_mode()
def interpolation(generator: nn.Module, names: Sequence[str], steps: int = 8) -> Board:
    """Walk from one fixed latent to another, one row a class and one column a step.

    Spherical between latents (Shoemake 1985, sec. 3.3: their length stays typical of a normal
    draw); straight between styles, which fill no sphere.
    """
    labels = _labels(generator, names)
    first, last = (one.expand(len(labels), -1) for one in _latents(generator, 2).chunk(2))
    walk = [step / (steps - 1) for step in range(steps)]
    if has_styles(generator):
        start, end = generator.map(first, labels), generator.map(last, labels)
        columns = [generator.synthesise(torch.lerp(start, end, share)) for share in walk]
    else:
        columns = [generator(slerp(first, last, share), labels) for share in walk]
    return _side_by_side(columns, [names[label] for label in labels])


def slerp(first: Tensor, last: Tensor, share: float) -> Tensor:
    """Spherical interpolation of rows ``[N, Z]``: ``first`` at share 0, ``last`` at 1."""
    cosine = torch.cosine_similarity(first, last, dim=1).clamp(-1.0, 1.0)
    angle = torch.acos(cosine).clamp_min(1e-4).unsqueeze(1)  # (nearly) parallel: a straight line
    mixed: Tensor = torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * last
    return mixed / torch.sin(angle)


@torch.inference_mode()
def truncation_sweep(
    generator: nn.Module, names: Sequence[str], values: Sequence[float] = TRUNCATIONS
) -> Board:
    """From the most typical image to the freest, one row a class and one column a value.

    A value scales a style's distance to the mean style (Karras et al. 2019, app. B), or the
    latent where there are no styles.
    """
    labels = _labels(generator, names)
    latents = _latents(generator, 1).expand(len(labels), -1)
    if has_styles(generator):
        mean = generator.mean_style[labels].unsqueeze(1)
        offset = generator.map(latents, labels) - mean
        columns = [generator.synthesise(mean + value * offset) for value in values]
    else:
        columns = [generator(value * latents, labels) for value in values]
    return _side_by_side(columns, [names[label] for label in labels])


@torch.inference_mode()
def style_mixing(
    generator: nn.Module, names: Sequence[str], rows: int = 3, columns: int = 7
) -> Board:
    """Coarse layers of one image, fine ones of another (Karras et al. 2019, arXiv:1812.04948).

    The sources of a class stand in its first row (fine) and its first column (coarse), the corner
    is white. The first few classes are shown, one above the other.

    Raises:
        UserError: the generator has no styles.
    """
    shown = names[:_MIXED_CLASSES]
    parts = [_mixed(generator, label, rows, columns) for label in range(len(shown))]
    whole = [torch.cat(column) for column in zip(*parts, strict=True)]
    return _side_by_side(whole, [part for name in shown for part in (name, *[""] * rows)])


def _mixed(generator: nn.Module, label: int, rows: int, columns: int) -> list[Tensor]:
    """Return the columns of one class's style mixing, each ``[rows + 1, C, H, W]``."""
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
    return parts


PICTURES: dict[str, Callable[[nn.Module, Sequence[str]], Board]] = {
    "classes": sample_grid,
    "interpolation": interpolation,
    "truncation": truncation_sweep,
    "style-mixing": style_mixing,
}
"""A picture by name, of a generator and the names of its classes."""


def offered(generator: nn.Module) -> tuple[str, ...]:
    """Return the names in `PICTURES` that this generator can be shown by."""
    return tuple(name for name in PICTURES if name != "style-mixing" or has_styles(generator))


def _latents(generator: nn.Module, count: int) -> Tensor:
    """Return fixed latents ``[count, Z]`` on the generator's device."""
    latents = latents_of(np.arange(count), int(generator.latent_dim))  # type: ignore[arg-type]
    return latents.to(lies_on(generator))


def _shown(names: Sequence[str]) -> Labels:
    """Return the classes that have a row: all, or some that are spread evenly over all."""
    rows = min(len(names), _MOST_ROWS)
    return np.linspace(0, len(names) - 1, rows).round().astype(np.int64)


def _labels(generator: nn.Module, names: Sequence[str]) -> Tensor:
    return torch.from_numpy(_shown(names)).to(lies_on(generator))


def _side_by_side(columns: Sequence[Tensor], names: Sequence[str]) -> Board:
    """Set columns of images, each ``[rows, C, H, W]``, side by side."""
    return Board(np.stack([to_images(column) for column in columns], axis=1), names)

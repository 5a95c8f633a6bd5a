"""Where DiffAugment or R1 and R2 differ from their authors': ``python -m bench.gan_augmentation``.

Two choices of ours against what the papers do, on the built-in digits (see bench/README.md):

- ``pad 0``: translation fills with 0, which is mid grey, as in the code of Zhao et al. 2020
  (mit-han-lab/data-efficient-gans, ``rand_translation``); ours fills with -1, black.
- ``slope before augmentation``: R1 and R2 take the slope by the image as it was before
  augmentation, as in the code of R3GAN (Huang et al. 2024); ours takes it by what D saw. Pixels
  that a shift fills in do not come from the image, so its slope leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated
from unittest.mock import patch

import torch
import typer
from torch import Tensor

from bench import gan_jobs
from bench.contestants import DEFAULT, settings
from bench.datasets import ROOT, Cut, load_cut
from bench.gan_jobs import Job
from bench.gan_tables import failures, techniques_table
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.line import load_params
from tasks.gan import diffaug, step
from tasks.gan.draws import Draws
from tasks.gan.networks import Judgement
from tasks.gan.penalties import Judge, sampled_slopes

Shift = Callable[[Tensor, Draws], tuple[Tensor, Tensor]]


def shifted(images: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Translate as training does; return images and where they show the image, 1, or filling, 0."""
    marked = torch.cat([images, torch.ones_like(images[:, :1])], dim=1)
    moved = diffaug.translation(marked, draws)
    return moved[:, :-1], (moved[:, -1:] > 0).to(images.dtype)


@contextmanager
def pad_zero() -> Iterator[None]:
    """Fill what a shift leaves empty with 0."""

    def translation(images: Tensor, draws: Draws) -> Tensor:
        moved, mask = shifted(images, draws)
        return moved * mask

    with patch.dict(diffaug.POLICIES, translation=translation):
        yield


@contextmanager
def slope_before() -> Iterator[None]:
    """Take R1's and R2's slope by the image before it was shifted."""
    masks: list[Tensor] = []  # of the last two calls: real, then fake, directly before the terms

    def translation(images: Tensor, draws: Draws) -> Tensor:
        moved, mask = shifted(images, draws)
        masks[:] = [*masks[-1:], mask]
        return moved

    def slopes(
        judge: Judge, images: Tensor, labels: Tensor, rows: Tensor, directions: Tensor
    ) -> tuple[Judgement, Tensor]:
        inside = directions * torch.cat(masks)[rows]
        return sampled_slopes(judge, images, labels, rows, inside)

    with (
        patch.dict(diffaug.POLICIES, translation=translation),
        patch.object(step, "sampled_slopes", slopes),
    ):
        yield


@contextmanager
def as_it_is() -> Iterator[None]:
    """Change nothing."""
    yield


VARIANTS = {DEFAULT: as_it_is, "pad 0": pad_zero, "slope before augmentation": slope_before}


def on_white(name: str, *rest: object) -> Cut:
    """Return the task's images with black and white exchanged."""
    cut = load_cut(name, *rest)  # type: ignore[arg-type]
    sets = (cut.train, cut.cut, cut.val)
    return Cut(*(ImageSet(255 - one.images, one.manifest) for one in sets))


def main(
    kimg: Annotated[float, typer.Option(help="Budget of each GAN.")] = 24,
    seeds: Annotated[int, typer.Option(help="GANs of each kind.")] = 2,
    white: Annotated[bool, typer.Option(help="Dark digits on white ground instead.")] = False,
    task: Annotated[str, typer.Option(help="Of bench.datasets.")] = "digits-20",
) -> None:
    """Print one table; nothing is kept."""
    params = load_params(ROOT / "params.yaml")
    gan = settings(params.train_gan, {"slope": "sampled"}, kimg=kimg)
    place = (params, ROOT.parent / "images", ROOT / ".ganlift" / "bench")
    rows = []
    gan_jobs.judge_of.cache_clear()
    with patch.object(gan_jobs, "load_cut", on_white if white else load_cut):
        for seed in range(seeds):
            for name, variant in VARIANTS.items():
                job = Job(task, name, gan, seed, 2, *place, looks=4)
                with variant():
                    rows.append(job.do())
    print(*filter(None, (techniques_table(rows), failures(rows))), sep="\n\n")
    for row in rows:
        print(row["contestant"], row["seed"], {k: round(v, 4) for k, v in row["final"].items()})


if __name__ == "__main__":
    typer.run(main)

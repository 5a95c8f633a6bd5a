"""Stage 4, generate: every checkpoint makes its share of the synthetic pool."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np

from tasks.contracts.image_set import ImageSet
from tasks.contracts.outputs import Output
from tasks.contracts.params.generate import GenerateParams
from tasks.contracts.params.merge import MergeParams
from tasks.contracts.params.reading import checked
from tasks.contracts.progress import progress
from tasks.contracts.stage import Setting, stage_main
from tasks.data.mixing import asked_of_each_class
from tasks.gan.checkpoint import checkpoints
from tasks.gan.pool import make_pool

_LEAST = 16  # images of a class of which none are asked for: to look at, and to measure


def run(
    *,
    gan: Path,
    train: Path,
    target_per_class: Annotated[str | int, Setting("merge.target_per_class")],
    synthetic_per_real: Annotated[float, Setting("merge.synthetic_per_real")],
    pool: Output,
    params: GenerateParams,
    seed: int,
) -> None:
    """Make images of each class from each checkpoint, row by row repeatable.

    How many is said by ``generate.per_class``, or follows from what the merge asks for.
    """
    folders = checkpoints(gan)
    real = dict(enumerate(np.bincount(ImageSet.load(train).labels).tolist()))
    asked: dict[int, int] | None
    if params.per_class == "auto":
        merge = {"target_per_class": target_per_class, "synthetic_per_real": synthetic_per_real}
        asked = asked_of_each_class(
            checked(MergeParams, merge, "params.yaml", prefix="merge"), real, seed
        )
        counts = images_to_make(asked, params.per_needed)
    else:
        asked, counts = None, dict.fromkeys(real, params.per_class)
    with progress("generate") as watch:
        make_pool(folders, counts, seed, pool, watch, asked)
    if asked is not None:
        few, most = min(counts.values()), max(counts.values())
        print(f"each GAN made {few} to {most} images of a class, {sum(counts.values())} in all")


def images_to_make(asked: Mapping[int, int], per_needed: float) -> dict[int, int]:
    """Return label -> images that one GAN makes, where the merge asks so many of it."""
    return {label: max(_LEAST, math.ceil(count * per_needed)) for label, count in asked.items()}


if __name__ == "__main__":
    stage_main(run)

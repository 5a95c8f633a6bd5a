"""Stage 4, generate: every checkpoint makes its share of the synthetic pool."""

from __future__ import annotations

from pathlib import Path

from tasks.contracts.image_set import concatenate
from tasks.contracts.outputs import Output
from tasks.contracts.params.generate import GenerateParams
from tasks.contracts.progress import progress
from tasks.contracts.stage import stage_main
from tasks.gan.checkpoint import checkpoints
from tasks.gan.pool import make_pool


def run(*, gan: Path, pool: Output, params: GenerateParams, seed: int) -> None:
    """Make ``per_class`` images of each class from each checkpoint, row by row repeatable."""
    parts = []
    folders = checkpoints(gan)
    with progress("generate") as watch:
        for gan_seed, folder in folders.items():
            parts.append(make_pool(folder, gan_seed, params.per_class, seed))
            watch(len(parts) / len(folders), f"GAN {gan_seed}")
    concatenate(parts).save(pool)


if __name__ == "__main__":
    stage_main(run)

"""Stage 4, generate: every checkpoint makes its share of the synthetic pool."""

from __future__ import annotations

from pathlib import Path

from tasks.contracts.outputs import Output
from tasks.contracts.params.generate import GenerateParams
from tasks.contracts.progress import progress
from tasks.contracts.stage import stage_main
from tasks.gan.checkpoint import checkpoints
from tasks.gan.pool import make_pool


def run(*, gan: Path, pool: Output, params: GenerateParams, seed: int) -> None:
    """Make ``per_class`` images of each class from each checkpoint, row by row repeatable."""
    with progress("generate") as watch:
        make_pool(checkpoints(gan), params.per_class, seed, pool, watch)


if __name__ == "__main__":
    stage_main(run)

"""Random draws of training, the same whether one process draws a batch or several share it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Draws:
    """Draws for one process's slice of a global batch.

    Every process has a generator in the same state, draws for the whole batch and keeps its own
    rows: the work is nothing beside a convolution, and two processes see what one would.

    Attributes:
        generator: torch's generator, on the device that trains.
        rank: this process's number, 0 to ``world - 1``.
        world: how many processes share a batch.
    """

    generator: Generator
    rank: int = 0
    world: int = 1

    def normal(self, n: int, *shape: int) -> Tensor:
        """Return standard normal numbers ``[n, *shape]`` for this process's ``n`` samples."""
        drawn = torch.randn(
            (n * self.world, *shape), generator=self.generator, device=self.generator.device
        )
        return self.mine(drawn)

    def uniform(self, n: int, *shape: int) -> Tensor:
        """Return numbers in 0..1 ``[n, *shape]`` for this process's ``n`` samples."""
        drawn = torch.rand(
            (n * self.world, *shape), generator=self.generator, device=self.generator.device
        )
        return self.mine(drawn)

    def mine(self, whole: Tensor) -> Tensor:
        """Return this process's rows of what belongs to the global batch, ``[n * world, ...]``."""
        n = len(whole) // self.world
        return whole[self.rank * n : (self.rank + 1) * n]

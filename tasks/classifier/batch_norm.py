"""Batch norm where images of two kinds meet: statistics of their own, or taken anew of one kind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from tasks.classifier.examples import Examples
from tasks.classifier.training import BATCH
from tasks.data.batches import to_tensor


class Batches(Protocol):
    """What says how many real and added images the batch at hand holds, in this order."""

    counts: tuple[int, int]


class SeparateNorm(nn.Module):
    """A network in training that normalises real and added images by statistics of their own.

    Weights are shared, and the statistics that remain for testing are those of real images alone
    (after the auxiliary batch norm of Xie et al. 2020, arXiv:1911.09665, section 4, here without
    a scale and shift of its own). A part of one image has no statistics and joins the other.

    Args:
        network: images ``[B, C, H, W]`` to logits ``[B, K]``.
        shown: of the batch that is given next.
    """

    def __init__(self, network: nn.Module, shown: Batches) -> None:
        super().__init__()
        self.network, self._shown = network, shown

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[B, C, H, W]``, real ones first, to logits ``[B, K]``."""
        counts = self._shown.counts
        if min(counts) == 1 or counts[1] == 0:
            logits: Tensor = self.network(images)
            return logits
        real, added = images[: counts[0]], images[counts[0] :]
        parts = [self.network(real)] if len(real) else []
        with _forgetful(self.network):
            parts.append(self.network(added))
        return torch.cat(parts)


def has_batch_norm(network: nn.Module) -> bool:
    """Tell whether a network's outputs hang on batch norm's statistics."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


def adapt(network: nn.Module, images: Examples) -> None:
    """Take batch norm's statistics anew, of these images (AdaBN, Li et al. 2016, arXiv:1603.04779).

    Labels are not read, and no weight changes. All batches are of one size, or nearly.
    """
    batches = math.ceil(len(images) / BATCH)
    blocks = images.blocks(math.ceil(len(images) / batches))
    update_bn((to_tensor(block) for block in blocks), network)


@contextmanager
def _forgetful(network: nn.Module) -> Iterator[None]:
    """Normalise by the batch at hand, and keep nothing of it."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    tracked = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.track_running_stats = False
    yield
    for norm, before in zip(norms, tracked, strict=True):
        norm.track_running_stats = before

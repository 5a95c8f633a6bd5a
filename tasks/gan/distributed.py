"""Several processes that share one GAN's batch: their gradients are averaged."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.launcher.api import LaunchConfig, elastic_launch


@dataclass(frozen=True)
class Group:
    """This process among those that share a batch.

    Attributes:
        rank: its number.
        world: how many there are.
        device: where messages have to lie: the process's own GPU under NCCL.
    """

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace every tensor by its mean over the processes, in one message."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.world
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.reshape(tensor.shape))

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the rows of every process, in order of their numbers."""
        if self.world == 1:
            return tensor
        parts = [torch.empty_like(tensor) for _ in range(self.world)]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    def agree(self, value: float) -> float:
        """Return the first process's value in all of them."""
        if self.world == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, src=0)
        return float(shared)


SOLO = Group()


def launch(
    worker: Callable[..., None], arguments: Iterable[Any], processes: int, device: str
) -> None:
    """Run ``worker(group, *arguments)`` in several processes under torch's elastic launcher.

    They meet in a file and talk over the loopback: torch's usual meeting place would be a server
    that listens to the whole network.

    Args:
        worker: a function of a module, which a new process can import.
        arguments: picklable.
        processes: how many.
        device: ``cuda`` to talk by NCCL, gloo otherwise.

    Raises:
        torch.distributed.elastic.multiprocessing.errors.ChildFailedError: a process failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=f"ganlift-{os.getpid()}",
            rdzv_backend="c10d",
            rdzv_endpoint=f"{scratch}/rendezvous",
            rdzv_configs={"store_type": "file"},
            local_addr="127.0.0.1",
            max_restarts=0,
            monitor_interval=0.2,
        )
        os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
        elastic_launch(config, _join)(f"{scratch}/group", device, worker, tuple(arguments))


def _join(store: str, device: str, worker: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Join the group of this process's launcher, then work."""
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    backend = "nccl" if device == "cuda" else "gloo"
    meeting = dist.FileStore(store, world)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=meeting, rank=rank, world_size=world)
    own = f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else "cpu"
    try:
        worker(Group(rank, world, own), *arguments)
    finally:
        dist.destroy_process_group()

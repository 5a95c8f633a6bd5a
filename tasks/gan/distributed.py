"""Several processes that share one GAN's batch: their gradients are averaged."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import ProcessException, ProcessExitedException, start_processes

from tasks.contracts.errors import UserError
from tasks.contracts.fork_server import fork_server
from tasks.contracts.killed import killed
from tasks.contracts.parent import die_with_parent


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

    def descend(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
        """Take one step on the processes' mean gradient and return its L2 norm."""
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        parameters = optimizer.param_groups[0]["params"]
        gradients = [p.grad for p in parameters if p.grad is not None]
        self.average(gradients)
        optimizer.step()
        return torch.nn.utils.get_total_norm(gradients)

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
    """Run ``worker(group, *arguments)`` in several processes.

    They meet in a file and talk over the loopback: torch's usual meeting place would be a server
    that listens to the whole network.

    Args:
        worker: a function of a module, which a new process can import.
        arguments: picklable.
        processes: how many.
        device: ``cuda`` to talk by NCCL, gloo otherwise.

    Raises:
        UserError: what a process raised; or that one died, and how.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            start_processes(  # type: ignore[no-untyped-call]
                _join,
                (processes, scratch, device, worker, tuple(arguments)),
                processes,
                start_method=fork_server().get_start_method(),
            )
        except ProcessException as failed:
            for left in sorted(Path(scratch).glob("error-*")):
                raise UserError(*json.loads(left.read_text(encoding="utf-8"))) from None
            if isinstance(failed, ProcessExitedException) and failed.exit_code < 0:
                raise killed(
                    f"train_gan: process {failed.error_index} of one GAN",
                    -failed.exit_code,
                    "Lower train_gan.batch_size, then run again: it goes on from its last state",
                ) from None
            raise UserError(
                "train_gan",
                f"process {failed.error_index} of one GAN died "
                f"({failed.msg.strip().splitlines()[-1]})",
                "Run again: it goes on from its last state",
            ) from None


def _join(
    rank: int,
    world: int,
    scratch: str,
    device: str,
    worker: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    """Join the group of processes, then work."""
    die_with_parent()  # torch asks for SIGINT, which a process that waits for others may not hear
    os.environ["LOCAL_RANK"] = str(rank)  # the number of its GPU
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
    own = f"cuda:{rank}" if device == "cuda" else "cpu"
    meeting = dist.FileStore(f"{scratch}/group", world)  # type: ignore[attr-defined]
    backend = "nccl" if device == "cuda" else "gloo"
    dist.init_process_group(backend, store=meeting, rank=rank, world_size=world)
    try:
        worker(Group(rank, world, own), *arguments)
    except UserError as error:  # torch would keep a traceback as text
        left = Path(scratch, f"error-{rank}")
        left.write_text(json.dumps([error.thing, error.reason, error.mend]), encoding="utf-8")
        raise
    finally:
        dist.destroy_process_group()

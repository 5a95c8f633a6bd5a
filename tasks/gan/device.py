"""Where a GAN trains and in which precision."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

import torch

from tasks.contracts.errors import UserError
from tasks.contracts.params.train_gan import TrainGanParams


def device_of(params: TrainGanParams) -> torch.device:
    """Return the device asked for; under a launcher, the GPU of this process's own number.

    Raises:
        UserError: a GPU is asked for and there is none, or there are fewer than processes.
    """
    there = torch.cuda.is_available()
    if params.device == "cuda" and not there:
        raise UserError("train_gan.device: cuda", "no GPU is in reach", "Use auto or cpu")
    if params.device == "cpu" or not there:
        return torch.device("cpu")
    if params.processes > torch.cuda.device_count():
        raise UserError(
            f"train_gan.processes: {params.processes}",
            f"each needs a GPU of its own, and there are {torch.cuda.device_count()}",
            "Lower it, or set train_gan.device=cpu",
        )
    torch.set_float32_matmul_precision("high")  # TF32: three more bits of mantissa than bfloat16
    torch.backends.cudnn.allow_tf32 = True
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def precision_of(params: TrainGanParams, device: torch.device) -> AbstractContextManager[object]:
    """Return a context for forward passes: bfloat16 where asked for, by default on a GPU alone."""
    half = params.precision == "bfloat16" or (params.precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=half, cache_enabled=False)

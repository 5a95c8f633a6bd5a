"""lightweight-gan's own trainer on the CPU: a script for an environment of its own.

`bench.peers` runs it as a child. Its settings come as one JSON argument, its images go out as
``.npy``; it imports nothing of this project, and nothing here imports it.

The step is ``Trainer.train`` itself (lightweight-gan 1.2.1), which wants CUDA: its module is shown
a torch whose devices are all the CPU. What is left out is what trains nothing: sample pictures
every 100 steps and checkpoints.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

_TRIES = 3  # at a step whose loss is not a number, as its command line has it


class _OnCpu:
    """The module `torch`, but that each device is the CPU."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def device(self, *_: object) -> torch.device:
        return torch.device("cpu")


def library() -> Any:
    """Import lightweight-gan, which asserts that there is a GPU, for the CPU."""
    there, torch.cuda.is_available = torch.cuda.is_available, lambda: True
    from lightweight_gan import lightweight_gan  # type: ignore[import-not-found,unused-ignore]

    torch.cuda.is_available = there
    lightweight_gan.torch = _OnCpu()
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_: self  # type: ignore[method-assign,assignment]
    return lightweight_gan


def trainer_of(lightweight_gan: Any, data: Path, out: Path, settings: dict[str, Any]) -> Any:
    """Return its trainer on the images under `data`, its networks built.

    Args:
        lightweight_gan: its module.
        data: PNG files, in folders or not.
        out: where it makes the folders that it asks for.
        settings: arguments of ``Trainer``.
    """
    least = min(settings["batch_size"], sum(1 for _ in data.glob("**/*.png")))
    own = settings | {"batch_size": least, "num_workers": 0, "use_aim": False}
    trainer = lightweight_gan.Trainer(base_dir=out, **own)
    for name in ("evaluate", "save", "load"):
        setattr(trainer, name, lambda *_, **__: None)
    trainer.set_data_src(data)
    trainer.init_GAN()
    return trainer


def step(lightweight_gan: Any, trainer: Any) -> float:
    """Do a step of ``Trainer.train``; return its CPU seconds.

    Raises:
        NanException: of lightweight-gan, when three tries gave no number.
    """
    since = time.process_time()
    for left in reversed(range(_TRIES)):
        try:
            trainer.train()
            break
        except lightweight_gan.NanException:
            if left == 0:
                raise
    return time.process_time() - since


def images_of(trainer: Any, count: int, seed: int) -> npt.NDArray[np.uint8]:
    """Draw uint8 ``[N, H, W, C]`` from its generator, leaving the draws of training alone.

    The generator itself, not its moving average: that begins at step 20,000, and before is a copy
    made every 1,000 steps.
    """
    trainer.GAN.eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = trainer.generate_(trainer.GAN.G, torch.randn(count, trainer.latent_dim))
    pixels: npt.NDArray[np.uint8] = (
        made.mul(255).add(0.5).clamp(0, 255).permute(0, 2, 3, 1).byte().contiguous().numpy()
    )
    return pixels


def train(data: Path, out: Path, settings: dict[str, Any], seed: int, marks: list[float]) -> None:
    """Train, leaving ``images-N.npy`` and a line in ``looks.json`` at each mark.

    A mark is reached at the end of the step that passes it, so a step that takes longer than a
    mark is never cut short.

    Args:
        data: the images.
        out: a folder of this run; ``looks.json`` is written last.
        settings: of ``Trainer``, and ``count``, the images to leave at each mark.
        seed: of all draws.
        marks: CPU seconds of training, ascending.
    """
    count = settings.pop("count")
    torch.set_num_threads(1)
    lightweight_gan = library()
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    trainer = trainer_of(lightweight_gan, data, out, settings)
    shown_a_step = trainer.batch_size * trainer.gradient_accumulate_every
    looks, spent, seen = [], 0.0, -1
    images = np.zeros(0, np.uint8)
    for number, mark in enumerate(marks):
        while spent < mark:
            spent += step(lightweight_gan, trainer)
        if trainer.steps != seen:
            images, seen = images_of(trainer, count, seed), trainer.steps
        np.save(out / f"images-{number}.npy", images)
        looks.append({"seconds": spent, "steps": seen, "images": seen * shown_a_step})
    (out / "looks.json").write_text(json.dumps(looks), encoding="utf-8")


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    train(Path(given.pop("data")), Path(given.pop("out")), **given)

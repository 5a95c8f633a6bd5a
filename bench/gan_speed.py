"""How fast is our training loop? ``python -m bench.gan_speed --help``; see bench/README.md.

Ours and the plain loop of PyTorch's example take turns in one process, on the same networks, batch
and images, so that what else the machine does slows both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bench.contestants import DEFAULT, PLAIN, Overrides, contestant, settings
from bench.datasets import ROOT
from bench.plain_loop import PlainLoop
from tasks.contracts.image_set import ImageSet, image_id
from tasks.contracts.machine import keep_freed_memory
from tasks.contracts.params.line import load_params
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.model import Gan, build_gan
from tasks.gan.training import train_gan

_CLASSES, _PER_CLASS = 10, 100
_ENDLESS = 1e6  # kimg: the bench ends the loops itself
_FORMATS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
_PENALTIES: dict[str, Overrides] = {
    "none": {"penalties.r1": 0.0, "penalties.r2": 0.0},
    "exact, whole": {"penalty_share": 1.0, "slope": "exact"},
    "sampled, whole": {"penalty_share": 1.0, "slope": "sampled"},
    "exact, quarter": {"penalty_share": 0.25, "slope": "exact"},
    "sampled, quarter": {"penalty_share": 0.25, "slope": "sampled"},
}
# Run in a checkout: as a worker trains there, a round a line of input; tells its CPU seconds.
_ROUNDS = """
import sys, time
import torch
import tasks.contracts.machine
from bench.gan_speed import Case, noise, our_loop, params_of
network, size, channels, steps = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(1)
getattr(tasks.contracts.machine, "keep_freed_memory", lambda: None)()
loop = our_loop(noise(size, channels), params_of(Case(network, size, 1), steps, game="default"))
for line in sys.stdin:
    since = time.process_time()
    next(loop)
    print(time.process_time() - since, flush=True)
"""
_LOOPS = ("plain loop", "ours, same game", "ours, default")
Loop = Iterator[object]


@dataclass(frozen=True)
class Case:
    """What one line of a table is measured on."""

    network: str
    size: int
    threads: int
    device: str = "cpu"
    precision: str = "float32"
    channels: int = 3

    @property
    def cells(self) -> list[str]:
        """Its part of a table's line."""
        size = f"{self.size}{' grey' if self.channels == 1 else ''}"
        return [self.network, size, str(self.threads), self.device, self.precision]


_HEAD = ["network", "px", "threads", "device", "precision"]


def noise(size: int, channels: int = 3) -> ImageSet:
    """Random pixels ``[1000, size, size, channels]`` in ten classes: speed asks for no more."""
    labels = np.repeat(np.arange(_CLASSES, dtype=np.int64), _PER_CLASS)
    shape = (len(labels), size, size, channels)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    ids = [image_id(image) for image in images]
    columns = {"image_id": ids, "label": labels, "class_name": [f"{one}" for one in labels]}
    rest = {"origin": "real", "source": "noise", "group": ids}
    return ImageSet(images, pd.DataFrame(columns | rest))


def params_of(
    case: Case, steps: int, *, game: str, more: Overrides | None = None
) -> TrainGanParams:
    """Settings that yield after every `steps` steps and never draw a grid.

    Args:
        case: what is measured.
        steps: of one round.
        game: ``plain`` (cross-entropy, no penalty, no augmentation, as in the plain loop) or
            ``default`` (that of ``params.yaml``).
        more: changes to it.
    """
    default = load_params(ROOT / "params.yaml").train_gan
    own: Overrides = contestant(game) | {
        "network": case.network,
        "latent_dim": default.latent_dim,
        "width": default.width,
        "tick_kimg": steps * default.batch_size / 1000,
        "grid_kimg": _ENDLESS,
        **(more or {}),
    }
    params = settings(default, own, kimg=_ENDLESS)
    return params.model_copy(update={"device": case.device, "precision": case.precision})


def our_loop(
    train: ImageSet, params: TrainGanParams, layout: torch.memory_format | None = None
) -> Loop:
    """Our training, one round at a time; with `layout` its convolutions' weights lie so."""
    gan = build_gan(train, params, 0)
    if layout is not None:
        for network in (gan.generator, gan.discriminator, gan.ema):
            network.to(memory_format=layout)
    return train_gan(gan, train, params, 0)


def plain_loop(train: ImageSet, params: TrainGanParams, steps: int) -> Loop:
    """The plain loop on networks built alike."""
    gan: Gan = build_gan(train, params, 0)
    loop = PlainLoop(gan.generator.train(), gan.discriminator.train(), params.device)
    return loop.rounds(train, params.batch_size, steps)


def take_turns(loops: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Return seconds of each loop's rounds: A B A B, after one of each that does not count."""
    seconds: list[list[float]] = [[] for _ in loops]
    for turn in range(rounds + 1):
        for own, run in zip(seconds, loops, strict=True):
            _settle()
            since = time.perf_counter()
            run()
            _settle()
            if turn:
                own.append(time.perf_counter() - since)
    return seconds


def against_plain(case: Case, steps: int, rounds: int) -> list[str]:
    """Images/s of the plain loop and ours, and how much of the machine's arithmetic ours is."""
    train = noise(case.size, case.channels)
    same = params_of(case, steps, game=PLAIN)
    games = [same]
    if case.network != "dcgan":  # whose batch norm the default's penalties do not go with
        games.append(params_of(case, steps, game=DEFAULT))
    loops = [plain_loop(train, same, steps), *(our_loop(train, game) for game in games)]
    size = 2048 if case.device == "cuda" else 768
    factor = torch.randn(size, size, device=case.device, dtype=getattr(torch, case.precision))
    runs = [*(_one_of(loop) for loop in loops), lambda: factor @ factor]
    *timed, products = take_turns(runs, rounds)
    shown = steps * same.batch_size
    speeds = [shown / statistics.median(one) for one in timed]
    peak = 2 * size**3 / min(products)
    cells = [f"{speed:.0f}" for speed in speeds] + [""] * (len(_LOOPS) - len(speeds))
    rate = flops_a_step(train, games[-1]) * steps / statistics.median(timed[-1])
    return [
        *case.cells,
        *cells,
        f"{speeds[1] / speeds[0]:.2f}",
        f"{rate / 1e9:.1f}",
        f"{peak / 1e9:.1f}",
        f"{rate / peak:.0%}",
    ]


def layouts(case: Case, steps: int, rounds: int) -> list[str]:
    """Images/s of the default game with weights laid out in either way."""
    train, params = noise(case.size, case.channels), params_of(case, steps, game=DEFAULT)
    loops = [our_loop(train, params, layout) for layout in _FORMATS.values()]
    timed = take_turns([_one_of(loop) for loop in loops], rounds)
    speeds = [steps * params.batch_size / statistics.median(one) for one in timed]
    return [*case.cells, *(f"{speed:.0f}" for speed in speeds), f"{speeds[1] / speeds[0]:.2f}"]


def penalties(case: Case, steps: int, rounds: int) -> list[str]:
    """Images/s of whole steps of the default game, by how R1 and R2 take their slopes."""
    train = noise(case.size, case.channels)
    games = [params_of(case, steps, game=DEFAULT, more=more) for more in _PENALTIES.values()]
    timed = take_turns([_one_of(our_loop(train, game)) for game in games], rounds)
    shown = steps * games[0].batch_size
    return [*case.cells, *(f"{shown / statistics.median(one):.0f}" for one in timed)]


def against_checkout(case: Case, other: Path, steps: int, rounds: int) -> list[str]:
    """Images a CPU second of another checkout's default game and of this one's, in turns.

    Each is a process of its own on one thread; CPU seconds leave out what others take of the core.
    """
    batch = load_params(ROOT / "params.yaml").train_gan.batch_size
    with _rounds(case, other, steps) as before, _rounds(case, ROOT, steps) as after:
        pairs = [(before(), after()) for _ in range(rounds + 1)][1:]
    speeds = [steps * batch / statistics.median(one) for one in zip(*pairs, strict=True)]
    return [*case.cells, *(f"{speed:.0f}" for speed in speeds), f"{speeds[1] / speeds[0]:.2f}"]


@contextmanager
def _rounds(case: Case, root: Path, steps: int) -> Iterator[Callable[[], float]]:
    sizes = [str(number) for number in (case.size, case.channels, steps)]
    child = subprocess.Popen(
        [sys.executable, "-c", _ROUNDS, case.network, *sizes],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        told, heard = child.stdin, child.stdout
        assert told is not None
        assert heard is not None

        def one_round() -> float:
            print(file=told, flush=True)
            return float(heard.readline())

        yield one_round


def flops_a_step(train: ImageSet, params: TrainGanParams) -> int:
    """Count multiplications and additions of a step's products and convolutions, both ways."""
    one = {"tick_kimg": params.batch_size / 1000}
    loop = our_loop(train, params.model_copy(update=one))
    next(loop)
    counter = _Counter()
    with counter:
        next(loop)
    return counter.total


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """torch's own formulas; its `FlopCounterMode` breaks at a gradient of images (r1)."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            self.total += int(formula(*args, **(kwargs or {}), out_val=out))
        return out


def _one_of(loop: Loop) -> Callable[[], object]:
    return lambda: next(loop)


def _settle() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _print(title: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    rows = [head, ["---"] * len(head), *lines]
    print(f"\n{title}\n", *(f"| {' | '.join(row)} |" for row in rows), sep="\n", flush=True)


def main(
    networks: Annotated[str, typer.Option(help="With , between.")] = "dcgan,conv",
    sizes: Annotated[str, typer.Option(help="Pixels.")] = "8,32,64",
    threads: Annotated[str, typer.Option(help="Of the CPU.")] = "1,2",
    steps: Annotated[int, typer.Option(help="Of a round.")] = 10,
    rounds: Annotated[int, typer.Option(help="That count.")] = 7,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    channels: Annotated[int, typer.Option(help="1 or 3.")] = 3,
    against: Annotated[
        Path | None, typer.Option(help="Another checkout: only compare its speed with this one's.")
    ] = None,
) -> None:
    """Print the tables; nothing is kept and no speed is asserted."""
    if device == "cuda" and not torch.cuda.is_available():
        print("no GPU is in reach: nothing measured")
        return
    precisions = ("float32", "bfloat16") if device == "cuda" else ("float32",)
    cases = [
        Case(network, int(size), int(count), device, precision, channels)
        for network, size, count, precision in product(
            networks.split(","), sizes.split(","), threads.split(","), precisions
        )
    ]
    if against is not None:
        compared = [against_checkout(case, against.resolve(), steps, rounds) for case in cases]
        _print("Images a CPU second, whole steps", [*_HEAD, "before", "after", "times"], compared)
        return
    keep_freed_memory()
    lines, more, slopes = [], [], []
    for case in cases:
        torch.set_num_threads(case.threads)
        lines.append(against_plain(case, steps, rounds))
        if case.network != "dcgan":
            more.append(layouts(case, steps, rounds))
            slopes.append(penalties(case, steps, rounds))
    head = [*_HEAD, *(f"{name}, images/s" for name in _LOOPS), "same game, times plain"]
    arithmetic = ["last loop, GFLOP/s", "matrix product, GFLOP/s", "share"]
    _print("Against the plain loop", [*head, *arithmetic], lines)
    _print("Layout of the weights", [*_HEAD, *_FORMATS, "times"], more)
    _print("Slopes of R1 and R2, images/s", [*_HEAD, *_PENALTIES], slopes)


if __name__ == "__main__":
    typer.run(main)

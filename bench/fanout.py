"""How much faster jobs are by the number of workers: ``python -m bench.fanout --help``.

A job is a fit of the small classifier on made-up images, as the stages have them, on one thread.
Each backend (this machine's processes, and Dask's on loopback) does the same jobs with one
worker and with several, in turn, round after round; its workers are started and have their imports
behind them.
Prints the median of the rounds, their range, and the speed against one worker of the same backend.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from bench.clusters import dask_cluster
from tasks.classifier.examples import Examples
from tasks.classifier.training import Schedule, fit
from tasks.contracts.cluster import ADDRESS, BACKEND
from tasks.contracts.workers import spread

_SIDE, _CLASSES, _IMAGES = 16, 4, 512


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--jobs", type=int, default=16)
    parser.add_argument("--steps", type=int, default=300, help="of each job")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backends", nargs="+", default=["local", "dask"])
    args = parser.parse_args()
    settings = [(backend, many) for backend in args.backends for many in args.workers]
    seconds: dict[tuple[str, int], list[float]] = {one: [] for one in settings}
    results = set[str]()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        os.chdir(folder)
        images = _images(Path("images.npy"))
        addresses = {one: _started(stack, *one) for one in settings}
        for number in range(-1, args.rounds):  # before the first, workers import
            for one in settings:
                backend, many = one
                jobs = args.jobs if number >= 0 else 2 * many
                with _chosen(backend, many, addresses[one]):
                    start = time.perf_counter()
                    told = list(spread(_fitted, ((images, args.steps, j) for j in range(jobs))))
                if number >= 0:
                    seconds[one].append(time.perf_counter() - start)
                    results.add("".join(told))
        os.chdir("/")
    print("| backend | workers | seconds | least to most | speed | of linear |")
    print("|---|---|---|---|---|---|")
    for (backend, many), taken in seconds.items():
        median = statistics.median(taken)
        speed = statistics.median(seconds[backend, args.workers[0]]) * args.workers[0] / median
        print(
            f"| {backend} | {many} | {median:.1f} | {min(taken):.1f} to {max(taken):.1f} "
            f"| {speed:.2f} | {speed / many:.2f} |"
        )
    print(f"\n{args.jobs} jobs of {args.steps} steps, {args.rounds} rounds; ", end="")
    print("the same bytes everywhere" if len(results) == 1 else "BYTES DIFFER")


def _images(path: Path) -> Examples:
    rng = np.random.default_rng(0)
    np.save(path, rng.integers(0, 256, (_IMAGES, _SIDE, _SIDE, 3), dtype=np.uint8))
    labels = np.arange(_IMAGES, dtype=np.int64) % _CLASSES
    return Examples((np.load(path, mmap_mode="r"),), np.arange(_IMAGES), labels, "noise")


def _started(stack: ExitStack, backend: str, workers: int) -> str:
    if backend == "local":
        return ""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    return stack.enter_context(dask_cluster(folder, workers))


@contextmanager
def _chosen(backend: str, workers: int, address: str) -> Iterator[None]:
    """Name the backend in the environment while the block runs."""
    own = {BACKEND: backend, ADDRESS: address, "LOKY_MAX_CPU_COUNT": str(workers)}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _fitted(images: Examples, steps: int, seed: int) -> str:
    schedule = Schedule("small_cnn", steps, 64, 1e-3, 0.0)
    network = fit(images, schedule, classes=_CLASSES, augment=True, flip=False, seed=seed)
    return "".join(one.numpy().tobytes().hex()[:64] for one in network.state_dict().values())


if __name__ == "__main__":
    main()

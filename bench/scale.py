"""What a pool image costs the stages after training: ``python -m bench.scale --help``.

Made-up real images of 8 px, 6,000 or 12 a class, go through ingest, validate and a train_gan of
eight steps, whose GAN is as good as untrained. Then each stage after it runs in a process of its
own, by the command that ``dvc.yaml`` has for it, on pools of growing size. Everything but the pool,
what is accepted of it and what is merged stays the same, so the tables tell whether the cost of an
image grows with their number. Classifiers take few steps, as steps do not depend on the pool.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

ROOT = Path(__file__).parents[1]
BEFORE = ("ingest", "validate", "train_gan")
STAGES = ("generate", "quality_filter", "merge", "retrain", "report")
SIZES, CLASSES, REAL = (4_000, 40_000, 400_000), (10, 100, 1_000), 6_000
_SIDE = 8
_LEAST = 12  # real images of a class
_SPLITS = {"train": 0.5, "val": 0.25, "test": 0.25}  # of the real images
_ACCEPTED = 0.6  # of the pool, that merge asks for
_NAME = re.compile(r"\$\{(\w+)\.(\w+)\}")


@dataclass(frozen=True)
class Cost:
    """What one stage took.

    Attributes:
        seconds: by the clock.
        cpu_seconds: of the stage and the processes that it waited for.
        peak_bytes: resident at once in the largest of these processes.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def settings(classes: int, real: int, pool: int) -> dict[str, dict[str, Any]]:
    """Return what differs from ``params.yaml``, by section."""
    trained = _SPLITS["train"] * real
    return {
        "ingest": {"source": "raw", "image_size": _SIDE, "per_class": None},
        "validate": {
            "min_train_per_class": 2,
            "min_val_per_class": 1,
            "min_test_per_class": 1,
        },
        "train_gan": {
            "seeds": [0],
            "width": 4,
            "latent_dim": 8,
            "total_kimg": 0.064,
            "batch_size": 8,
            "tick_kimg": 0.064,
            "grid_kimg": 0.064,
            "state_kimg": 0.064,
            "device": "cpu",
        },
        "generate": {"per_class": max(1, pool // classes)},
        "quality_filter": {
            "folds": 2,
            "classifier_steps": 20,
            "select": "top_share",  # which leaves images of every class, whatever the GAN
            "top_share": 0.7,
            "confidence_quantile": 0.0,
            "copy_quantile": 0.0,
        },
        "merge": {"synthetic_per_real": _ACCEPTED * pool / trained},
        "retrain": {
            "seeds": [0, 1],
            "steps": 20,
            "learning_rate": 0.002,
            "weight_decay": 0.01,
            "fractions": [0.5],
        },
        "report": {"resamples": 2000},
    }


def draw_images(folder: Path, classes: int, real: int) -> None:
    """Write made-up images, each its class's own with noise, into split and class folders."""
    rng = np.random.default_rng(classes)
    for label in range(classes):
        own = rng.normal(128, 45, (_SIDE, _SIDE))
        for split, share in _SPLITS.items():
            home = folder / split / f"class {label:04d}"
            home.mkdir(parents=True)
            for number in range(int(share * real / classes)):
                pixels = np.clip(own + rng.normal(0, 25, own.shape), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(home / f"{number:04d}.png")


def write_params(folder: Path, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Write ``params.yaml`` with its changes into a folder."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section, values in changes.items():
        params[section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def run_stage(name: str, folder: Path) -> Cost:
    """Run a stage as ``dvc.yaml`` says, in a folder.

    Raises:
        SystemExit: it failed; its last lines are printed.
    """
    wiring = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    values = params | wiring["vars"][0]
    command = _NAME.sub(
        lambda found: str(values[found[1]][found[2]]), wiring["stages"][name]["cmd"]
    )
    words = shlex.split(command)  # exec sh tasks/python.sh -m tasks.NAME ...
    since, log = time.perf_counter(), folder / f"{name}.log"
    with log.open("w", encoding="utf-8") as told:
        child = subprocess.Popen(
            [sys.executable, *words[3:]],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=told,
            stderr=subprocess.STDOUT,
        )
        _, status, used = os.wait4(child.pid, 0)  # which tells what it took, as wait does not
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - since
    if child.returncode != 0:
        lines = log.read_text(encoding="utf-8").splitlines()[-20:]
        sys.exit("\n".join([*lines, f"{name} failed in {folder}"]))
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def prepare(folder: Path, classes: int, real: int) -> None:
    """Make what all pools share: real images, their gate, and a GAN."""
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "dvc.yaml", folder)
    draw_images(folder / "raw", classes, real)
    write_params(folder, settings(classes, real, pool=classes))
    for name in BEFORE:
        run_stage(name, folder)


def measure(
    home: Path, sizes: Sequence[int], classes: int, stages: Sequence[str], real: int
) -> None:
    """Print a line for each stage and pool size of one number of classes."""
    real = max(real, _LEAST * classes)
    prepare(home / "shared", classes, real)
    costs: dict[str, dict[int, Cost]] = {name: {} for name in stages}
    for size in sizes:
        folder = home / str(size)
        shutil.copytree(home / "shared", folder, ignore=shutil.ignore_patterns("raw"))
        write_params(folder, settings(classes, real, size))
        for name in STAGES[: STAGES.index(stages[-1]) + 1]:  # each needs those before it
            cost = run_stage(name, folder)
            if name in stages:
                costs[name][size] = cost
                print(_line(name, classes, costs[name]), flush=True)
        shutil.rmtree(folder)


def _line(name: str, classes: int, costs: Mapping[int, Cost]) -> str:
    """Return a row of the table: the last size, beside the first and the one before it."""
    size, cost = list(costs.items())[-1]
    first_size, first = next(iter(costs.items()))
    ratios = [
        (cost.cpu_seconds / size) / (first.cpu_seconds / first_size),
        (cost.peak_bytes / size) / (first.peak_bytes / first_size),
    ]
    added = ["", ""]
    if len(costs) > 1:
        before, less = list(costs.items())[-2]
        added = [
            f"{(cost.cpu_seconds - less.cpu_seconds) / (size - before) * 1e6:.0f}",
            f"{(cost.peak_bytes - less.peak_bytes) / (size - before):.0f}",
        ]
    cells = [
        name,
        f"{classes}",
        f"{size}",
        f"{cost.seconds:.1f}",
        f"{cost.cpu_seconds / size * 1e6:.0f}",
        f"{ratios[0]:.2f}",
        added[0],
        f"{cost.peak_bytes / 2**20:.0f}",
        f"{cost.peak_bytes / size:.0f}",
        f"{ratios[1]:.2f}",
        added[1],
    ]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    for option, default in (("sizes", SIZES), ("classes", CLASSES), ("stages", STAGES)):
        parser.add_argument(
            f"--{option}", default=",".join(map(str, default)), help="default: %(default)s"
        )
    parser.add_argument("--real", type=int, default=REAL, help="made-up real images")
    given = parser.parse_args(arguments)
    sizes, classes = (sorted(map(int, text.split(","))) for text in (given.sizes, given.classes))
    stages = [name for name in STAGES if name in given.stages.split(",")]
    print(
        "CPU seconds, as a busy machine does not count; the peak is that of the largest process.\n"
        "Per image: over all of the pool. Ratio: to the smallest pool. Added: for each image more\n"
        "than the pool before has, without what a stage costs at any size.\n\n"
        "| stage | classes | pool | s | µs CPU per image | ratio | µs per added image "
        "| peak, MiB | bytes per image | ratio | bytes per added image |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="ganlift-scale-") as home:
        for count in classes:
            measure(Path(home) / str(count), sizes, count, stages, given.real)


if __name__ == "__main__":
    main()

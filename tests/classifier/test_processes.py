from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.classifier.examples import Examples
from tasks.classifier.processes import fit_in_processes
from tasks.contracts.image_set import ImageSet
from tests.data.fake_sets import noise_set


def described(images: Examples, number: int) -> tuple[int, int, int, str, int]:
    (source,) = images.sources
    file = str(source.filename) if isinstance(source, np.memmap) else "an array"
    threads = torch.get_num_threads()
    return number, os.getpid(), threads, file, int(images.pixels(np.array([2]))[0, 0, 0, 0])


def test_workers_open_the_file_and_answer_in_order_on_one_thread_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    monkeypatch.chdir(tmp_path)
    noise_set(9).save(Path("images"))
    images = ImageSet.load(Path("images"))
    jobs = ((Examples.of(images, np.arange(3, 9)), number) for number in range(6))
    told = list(fit_in_processes(described, jobs))
    assert [number for number, *_ in told] == list(range(6))
    assert os.getpid() not in {pid for _, pid, *_ in told}
    for _, _, threads, file, pixel in told:
        assert threads == 1
        assert file == str(tmp_path / "images/images.npy")
        assert pixel == images.images[5, 0, 0, 0]


def test_what_a_worker_imports_holds_nothing_that_it_does_not_need() -> None:
    """Each takes seconds in every process: torchvision, timm, metrics."""
    code = (
        "import sys, tasks.classifier.runs, tasks.classifier.crossfit, tasks.classifier.features;"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torchvision", "timm", "torchmetrics", "sklearn", "matplotlib"}

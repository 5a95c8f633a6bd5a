from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.classifier.examples import Examples
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.workers import spread
from tests.data.fake_sets import noise_set

ROOT = Path(__file__).parents[2]


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
    told = list(spread(described, jobs))
    assert [number for number, *_ in told] == list(range(6))
    assert os.getpid() not in {pid for _, pid, *_ in told}
    for _, _, threads, file, pixel in told:
        assert threads == 1
        assert file == str(tmp_path / "images/images.npy")
        assert pixel == images.images[5, 0, 0, 0]


def found(number: int) -> tuple[bool, bool]:
    return "torch._dynamo" in sys.modules, gc.get_freeze_count() > 0


def test_a_worker_finds_its_imports_there_and_shares_their_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    assert list(spread(found, [(0,), (1,)])) == [(True, True)] * 2


def dies(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_a_killed_worker_is_told_with_the_memory_and_the_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    said = r"a worker process: killed by signal 9; was the memory exhausted\?.*LOKY_MAX_CPU_COUNT"
    with pytest.raises(UserError, match=said):
        list(spread(dies, [(0,), (1,)]))


SLOW = """
import os, sys, time
from pathlib import Path
if "{where}" in " ".join(sys.orig_argv):
    Path("workers", str(os.getpid())).touch()
    time.sleep(120)
def fit(number):
    Path("workers", str(os.getpid())).touch()
    time.sleep(120)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
@pytest.mark.parametrize("where", ["popen_loky", "never"], ids=["importing", "fitting"])
def test_workers_end_with_a_killed_stage_whatever_they_are_at(
    where: str, gone: Callable[[int], bool], tmp_path: Path
) -> None:
    (tmp_path / "workers").mkdir()
    (tmp_path / "slow.py").write_text(SLOW.format(where=where))
    code = "import slow; from tasks.contracts.workers import spread; "
    stage = subprocess.Popen(
        [sys.executable, "-c", code + "list(spread(slow.fit, [(0,), (1,)]))"],
        cwd=tmp_path,
        env=os.environ | {"LOKY_MAX_CPU_COUNT": "2", "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 60
        while len(workers := list((tmp_path / "workers").iterdir())) < 2:
            assert time.monotonic() < end
            time.sleep(0.1)
        stage.kill()
        stage.wait()
        assert all(gone(int(worker.name)) for worker in workers)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(stage.pid, signal.SIGKILL)


def test_what_a_worker_imports_holds_nothing_that_it_does_not_need() -> None:
    """Each takes seconds in every process: torchvision, timm, metrics."""
    code = (
        "import sys, tasks.classifier.runs, tasks.classifier.crossfit, tasks.classifier.features;"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torchvision", "timm", "torchmetrics", "sklearn", "matplotlib"}

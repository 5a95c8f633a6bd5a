from __future__ import annotations

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
import torch.distributed as dist

from tasks.contracts.errors import UserError
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.distributed import Group, launch
from tasks.gan.draws import Draws, RealBatches
from tasks.gan.model import Gan, build_gan
from tasks.gan.state import StateFolder, Tick
from tasks.gan.training import train_gan
from tests.contracts.tiny import shape_set, tiny_params

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "batch_size": 16,
    "total_kimg": 0.32,
    "ada_target": 0.6,
    "instance_noise": 0.1,
    "penalties": {"r1": 1.0, "r2": 1.0, "mode_seeking": 0.1},
}


def params(processes: int, slope: str, **more: object) -> TrainGanParams:
    own = {"processes": processes, "penalty_share": 0.25, "slope": slope}
    return tiny_params(train_gan=SETTINGS | own | more).train_gan


def listening() -> list[str]:
    """Addresses on which any process here waits for connections, as the kernel writes them."""
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    rows = [line.split() for t in tables if t.exists() for line in t.read_text().splitlines()[1:]]
    return [row[1] for row in rows if row[3] == "0A"]


def weights_of(gan: Gan) -> np.ndarray:
    return torch.cat([w.detach().reshape(-1) for w in gan.ema.parameters()]).numpy()


def share(group: Group, out: str, slope: str) -> None:
    """One of two processes; each writes its curves and weights, and who listens meanwhile."""
    torch.set_num_threads(1)
    train = shape_set(4)
    gan = build_gan(train, params(2, slope), 0)
    ticks = list(train_gan(gan, train, params(2, slope), 0, group=group))
    curves = [list(t.curves.values()) for t in ticks if isinstance(t, Tick)]

    dropped = params(2, slope, dropout=0.3)
    whole, cut, resumed = (build_gan(train, dropped, 0) for _ in range(3))
    states = StateFolder(Path(out) / "states")
    list(train_gan(whole, train, dropped, 0, group=group))
    next(train_gan(cut, train, dropped, 0, group=group, states=states))
    dist.barrier()
    list(train_gan(resumed, train, dropped, 0, group=group, states=states))
    np.savez(
        Path(out) / f"{group.rank}.npz",
        curves=curves,
        weights=weights_of(gan),
        whole=weights_of(whole),
        resumed=weights_of(resumed),
        open=listening(),
    )


@pytest.mark.filterwarnings("ignore")  # the launcher's own
@pytest.mark.parametrize("slope", ["exact", "sampled"])
def test_two_processes_have_the_loss_curve_of_one_with_the_whole_batch(
    slope: str, tmp_path: Path
) -> None:
    before = set(listening())
    launch(share, (str(tmp_path), slope), 2, "cpu")
    first, second = (np.load(tmp_path / f"{rank}.npz") for rank in (0, 1))
    loopback = ("0100007F:", "00000000000000000000000001000000:")
    assert all(one.startswith(loopback) for one in set(first["open"].tolist()) - before)
    np.testing.assert_array_equal(first["weights"], second["weights"])
    np.testing.assert_array_equal(first["curves"], second["curves"])
    for one in (first, second):  # a run of several processes resumes to the byte too
        np.testing.assert_array_equal(one["whole"], one["resumed"])
    assert (first["whole"] != first["weights"]).any()
    train = shape_set(4)
    gan = build_gan(train, params(1, slope), 0)
    ticks = list(train_gan(gan, train, params(1, slope), 0))
    curves = np.array([list(t.curves.values()) for t in ticks if isinstance(t, Tick)])
    # Adam turns rounding of the smallest gradients into whole steps, so the curves drift apart
    np.testing.assert_allclose(first["curves"][0], curves[0], rtol=1e-3)
    # a moved image may cross a kink of leaky ReLU in one run and not in the other
    told = slice(4 if slope == "sampled" else None)
    np.testing.assert_allclose(first["curves"][told], curves[told], rtol=0.02, atol=0.01)
    half = params(1, slope, batch_size=8)
    ticks = list(train_gan(build_gan(train, half, 0), train, half, 0))
    other = np.array([list(t.curves.values()) for t in ticks if isinstance(t, Tick)])
    assert np.abs(other - curves).max() > 0.5  # what the tolerance would not let pass


def fail(group: Group) -> None:
    if group.rank == 1:
        raise UserError("the GAN", "diverged", "Mend it")
    dist.barrier()  # at work: one that left at once could leave while the other still joins


@pytest.mark.filterwarnings("ignore")
def test_what_one_process_raises_is_the_error_of_all() -> None:
    with pytest.raises(UserError, match=r"the GAN: diverged\. Mend it"):
        launch(fail, (), 2, "cpu")


def die(group: Group) -> None:
    if group.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()  # waits for the other


@pytest.mark.filterwarnings("ignore")
def test_a_process_that_dies_ends_the_other_and_is_named() -> None:
    with pytest.raises(UserError, match=r"process 1 of one GAN: killed by signal 9; was the "):
        launch(die, (), 2, "cpu")


def hold(group: Group, folder: Path) -> None:
    (folder / f"{os.getpid()} {os.getppid()}").touch()
    time.sleep(120)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_who_started_the_processes_is_killed_and_they_end(
    gone: Callable[[int], bool], tmp_path: Path
) -> None:
    call = f"launch(hold, (Path({str(tmp_path)!r}),), 2, 'cpu')"
    code = f"from tests.gan.test_distributed import *; {call}"
    started = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, cwd=ROOT)
    try:
        end = time.monotonic() + 60
        while len(held := list(tmp_path.iterdir())) < 2:
            assert time.monotonic() < end
            time.sleep(0.1)
        started.kill()
        started.wait()
        of_both = {int(pid) for file in held for pid in file.name.split()}
        assert len(of_both) == 3  # two that share a batch, and their fork server
        assert all(gone(pid) for pid in of_both)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)


def test_slices_of_draws_make_the_whole() -> None:
    def draws(rank: int, world: int) -> Draws:
        return Draws(torch.Generator().manual_seed(1), rank, world)

    whole = draws(0, 1)
    halves = [draws(0, 2), draws(1, 2)]
    for _ in range(2):
        parts = torch.cat([half.normal(3, 2) for half in halves])
        assert torch.equal(whole.normal(6, 2), parts)
        parts = torch.cat([half.uniform(2) for half in halves])
        assert torch.equal(whole.uniform(4), parts)


@pytest.mark.parametrize("paired", [False, True])
def test_slices_of_batches_make_the_whole_and_pairs_stay_together(paired: bool) -> None:
    train = shape_set(5)

    def batches(rank: int, world: int) -> RealBatches:
        return RealBatches(
            train,
            None,
            batch_size=8,
            balanced=True,
            seed=0,
            device=torch.device("cpu"),
            rank=rank,
            world=world,
        )

    images, labels = batches(0, 1).batch(paired)
    halves = [batches(rank, 2).batch(paired) for rank in (0, 1)]
    assert torch.equal(images, torch.cat([half[0] for half in halves]))
    assert torch.equal(labels, torch.cat([half[1] for half in halves]))
    if paired:
        assert torch.equal(labels[0::2], labels[1::2])

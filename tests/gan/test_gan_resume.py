from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.contracts.evaluation import GanEvaluation, Sample
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.model import Gan, build_gan
from tasks.gan.state import (
    GanOutcome,
    Snapshot,
    StateFolder,
    Tick,
    optimizer_tensors,
    restore_optimizer,
)
from tasks.gan.step import AdversarialStep
from tasks.gan.training import train_gan
from tests.contracts.tiny import shape_set, tiny_params

SETTINGS = {
    "plain": {},
    "everything that keeps a state": {
        "network": "stylegan",
        "conditioning": "auxiliary",
        "penalties": {"r1": 1.0, "lecam": 0.3, "consistency": 1.0, "mode_seeking": 0.1},
        "ada_target": 0.6,
        "spectral_norm": True,
        "dropout": 0.2,
        "instance_noise": 0.1,
        "top_k": 0.5,
        "discriminator_steps": 2,
    },
    "growing": {"network": "progressive"},
    "slopes of a share": {"penalties": {"r1": 1.0, "lecam": 0.3}, "penalty_share": 0.25},
    "sampled slopes": {"penalty_share": 0.25, "slope": "sampled"},
    "sampled slopes apart": {"penalty_share": 0.5, "slope": "sampled", "dropout": 0.2},
    "a state every second tick": {"state_kimg": 0.032},
    "batch norm": {"network": "dcgan", "penalties": {}},
    "a clipped critic by rmsprop": {
        "optimizer": "rmsprop",
        "loss": "wasserstein",
        "weight_clip": 0.1,
        "penalties": {},
        "discriminator_steps": 2,
    },
    "private": {
        "privacy": {"epsilon": 10.0, "delta": 1e-3},
        "loss": "nonsaturating",
        "penalties": {},
        "balanced": False,
        "discriminator_steps": 2,
        "evaluation": {"every_kimg": 0.032, "features": "in_domain", "keep": "last"},
    },
    "autoencoder": {
        "network": "vae",
        "loss": "elbo",
        "conditioning": "concat",
        "penalties": {},
        "diffaug": [],
    },
}


NEVER = {"every_kimg": 100, "features": "in_domain", "keep": "last"}


def params(**overrides: object) -> TrainGanParams:
    return tiny_params(train_gan=overrides).train_gan


def judge(sample: Sample) -> GanEvaluation:
    """Better the darker the images, so that the best is not simply the last."""
    images = sample(np.arange(6, dtype=np.int64) % 3)
    return GanEvaluation({"kid": float(images.mean())}, {"a": {"diversity": 1.0}})


def everything(gan: Gan, told: list[Tick | GanOutcome]) -> object:
    networks = (gan.generator, gan.discriminator, gan.ema)
    return (
        [t.numpy().tobytes() for network in networks for t in network.state_dict().values()],
        [
            (one.kimg, one.curves, one.evaluation, one.grid) if isinstance(one, Tick) else one
            for one in told
        ],
    )


def run(train: ImageSet, settings: TrainGanParams, states: Path, stop_after: int = 99) -> object:
    """Train, dropping everything after ``stop_after`` ticks, as a killed process does."""
    gan = build_gan(train, settings, 3)
    told: list[Tick | GanOutcome] = []
    kept, secret = StateFolder(states), (b"secret", "GAN 3")
    for news in train_gan(gan, train, settings, 3, evaluate=judge, states=kept, secret=secret):
        told.append(news)
        if len(told) == stop_after:
            break
    return everything(gan, told)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_that_was_cut_off_ends_with_the_bytes_of_one_that_was_not(
    name: str, tmp_path: Path
) -> None:
    train, settings = shape_set(4), params(**SETTINGS[name])
    whole = run(train, settings, tmp_path / "whole")
    for cut in (1, 2, 3):
        run(train, settings, tmp_path / str(cut), stop_after=cut)
        torch.rand(7)  # another process has another global state
        assert run(train, settings, tmp_path / str(cut)) == whole, cut
    run(train, settings, tmp_path / "twice", stop_after=1)
    run(train, settings, tmp_path / "twice", stop_after=3)
    assert run(train, settings, tmp_path / "twice") == whole


def test_a_run_that_was_cut_off_around_a_burst_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seventh and the eighth of the ticks, each of one step, are bursts until none is left."""
    true_step = AdversarialStep.step

    def step(self: AdversarialStep, done: float) -> dict[str, torch.Tensor]:
        burst = torch.tensor(300.0 if done > 5 / 8 else 3.0)
        return true_step(self, done) | {"grad_norm_d": burst}

    monkeypatch.setattr(AdversarialStep, "step", step)
    health = params().health.model_dump() | {"max_burst": 20.0, "max_rollbacks": 2}
    settings = params(tick_kimg=0.008, state_kimg=0.008, health=health)
    train = shape_set(4)
    whole = run(train, settings, tmp_path / "whole")
    *_, outcome = train_gan(build_gan(train, settings, 3), train, settings, 3)
    assert isinstance(outcome, GanOutcome)
    assert outcome.rollbacks == 2
    for cut in (5, 6, 7):
        run(train, settings, tmp_path / str(cut), stop_after=cut)
        assert run(train, settings, tmp_path / str(cut)) == whole, cut


def test_a_finished_run_is_told_again_and_not_trained(tmp_path: Path) -> None:
    train, settings = shape_set(4), params()
    whole = run(train, settings, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert run(train, settings, tmp_path) == whole
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def reported(folder: Path) -> Iterator[str]:
    """Train with states in ``folder``; yields when a tick is done, and the weights' digest last."""
    settings, train = params(total_kimg=0.96), shape_set(4)
    gan = build_gan(train, settings, 0)
    for news in train_gan(gan, train, settings, 0, states=StateFolder(folder)):
        yield str(getattr(news, "kimg", "end"))
    weights = b"".join(t.numpy().tobytes() for t in gan.ema.state_dict().values())
    yield hashlib.sha256(weights).hexdigest()


VICTIM = """
import sys
from pathlib import Path
import torch
from tests.gan.test_gan_resume import reported
torch.set_num_threads(1)
for line in reported(Path(sys.argv[1])):
    print(line, flush=True)
"""


def test_kill_minus_nine_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", VICTIM, str(tmp_path / "killed")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as victim:
        assert victim.stdout is not None
        for _ in range(10):
            victim.stdout.readline()
        os.kill(victim.pid, signal.SIGKILL)
    assert victim.returncode == -signal.SIGKILL
    assert StateFolder(tmp_path / "killed").load() is not None
    resumed, whole = (list(reported(tmp_path / folder)) for folder in ("killed", "whole"))
    assert resumed == whole
    assert len(whole) == 60 + 2


def snapshot(number: float) -> Snapshot:
    return Snapshot({"a": torch.full((3,), number)}, {"number": number, "text": "ä"})


def test_two_states_are_kept_and_the_newest_whole_one_is_used(tmp_path: Path) -> None:
    states = StateFolder(tmp_path)
    assert states.load() is None
    for number in range(4):
        states.save(snapshot(number), number)
    first, second = sorted(tmp_path.iterdir())
    loaded = states.load()
    assert loaded is not None
    assert loaded.facts == {"number": 3, "text": "ä"}
    damaged = bytearray(second.read_bytes())
    damaged[-1] ^= 1
    second.write_bytes(damaged)
    loaded = states.load()
    assert loaded is not None
    assert loaded.tensors["a"].tolist() == [2, 2, 2]
    second.write_bytes(bytes(damaged[:50]))
    first.write_bytes(b"")
    assert states.load() is None


def test_a_picture_is_written_once_and_states_do_not_grow_with_them(tmp_path: Path) -> None:
    """As many pictures as a run has drawn lie beside its states, and none inside."""
    train = shape_set(4)
    settings = params(total_kimg=0.32, grid_kimg=0.016, evaluation=NEVER)
    gan, states = build_gan(train, settings, 0), StateFolder(tmp_path)
    sizes, written = [], dict[str, int]()
    for news in train_gan(gan, train, settings, 0, states=states):
        if isinstance(news, Tick):
            assert news.grid is not None
            grids = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
            assert len(grids) == len(written) + 1
            assert written.items() <= grids.items()
            written = grids
            newest = max(tmp_path.glob("*.safetensors"))
            sizes.append(newest.stat().st_size)
    assert len(sizes) == 20
    assert max(sizes) - sizes[0] < 20 * 500  # what was told in words; a picture is more


def test_a_state_whose_picture_is_damaged_is_not_used(tmp_path: Path) -> None:
    states = StateFolder(tmp_path)
    states.save(snapshot(1), 1)
    states.save(Snapshot({}, {"number": 2}, {7: b"picture"}), 2)
    loaded = states.load()
    assert loaded is not None
    assert loaded.grids == {7: b"picture"}
    (picture,) = tmp_path.glob("*.png")
    for damage in (b"", picture.read_bytes()[:-1] + b"?"):
        picture.write_bytes(damage)
        loaded = states.load()
        assert loaded is not None
        assert loaded.facts["number"] == 1
    picture.unlink()
    assert states.load() is not None


def test_a_write_that_was_cut_off_is_no_state(tmp_path: Path) -> None:
    states = StateFolder(tmp_path)
    states.save(snapshot(1), 1)
    (tmp_path / ".writing-123").write_bytes(b"half")
    states.save(snapshot(2), 2)
    loaded = states.load()
    assert loaded is not None
    assert loaded.facts["number"] == 2
    states.clear()
    assert states.load() is None


def test_an_optimiser_goes_on_as_if_nothing_had_happened() -> None:
    def optimiser() -> tuple[torch.nn.Parameter, torch.optim.Adam]:
        weight = torch.nn.Parameter(torch.ones(4))
        return weight, torch.optim.Adam([weight], lr=0.1)

    def steps(weight: torch.nn.Parameter, adam: torch.optim.Adam, first: int, end: int) -> None:
        for number in range(first, end):
            weight.grad = torch.arange(4.0) - number
            adam.step()

    weight, adam = optimiser()
    steps(weight, adam, 0, 6)
    half, half_adam = optimiser()
    steps(half, half_adam, 0, 3)
    other, other_adam = optimiser()
    other.data.copy_(half.data)
    restore_optimizer(other_adam, optimizer_tensors(half_adam))
    steps(other, other_adam, 3, 6)
    assert torch.equal(other, weight)

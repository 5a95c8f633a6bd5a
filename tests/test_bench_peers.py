"""The bench by CPU minute: equal seconds for all, and a peer's images outlive our changes."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bench import gan_jobs, peers, peers_lightweight, peers_training
from bench.datasets import Cut, load_cut
from bench.gan_jobs import Job
from bench.peers import PeerJob, curve_table, draw
from bench.peers_training import CONTESTANTS, Look, PeerEnvironmentError, Run, shrunk
from tests.contracts.tiny import tiny_params

_CHILD = """
import json, sys, numpy as np
given = json.loads(sys.argv[1])
label = int(given["data"][-1]) if given["data"][-1].isdigit() else 9
for number, mark in enumerate(given["marks"]):
    side = given["settings"]["image_size"]
    made = np.full((given["settings"]["count"], side, side, 1), 20 * label + number, np.uint8)
    np.save(f"{given['out']}/images-{number}.npy", made)
seconds = [max(2.0, mark) for mark in given["marks"]]
rows = [{"seconds": s, "images": 8 * s} for s in seconds]
open(f"{given['out']}/looks.json", "w").write(json.dumps(rows))
"""


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None: ...


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_training, "POOL", 4)
    for module in (peers, gan_jobs):
        monkeypatch.setattr(module, "JUDGE_STEPS", 60)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """A CPU that is 0.1 s older at every glance; the clock on the wall is not to be asked."""
    told = SimpleNamespace(now=0.0)

    def glance() -> float:
        told.now += 0.1
        return told.now

    monkeypatch.setattr(time, "process_time", glance)
    return told


def _run(folder: Path, contestant: str = "plain", **changes: Any) -> Run:
    params = tiny_params(ingest={"test_share": 0.45, "val_share": 0.15})
    run = Run("digits-5", contestant, 0, 1 / 60, params, folder, Path(sys.executable))
    return replace(run, **changes)


def _cut(run: Run) -> Cut:
    return load_cut(run.task, run.params, run.scratch, run.scratch)


def test_a_peers_images_stand_when_our_settings_or_the_judge_change(tmp_path: Path) -> None:
    run, ours = _run(tmp_path), _run(tmp_path, "default")
    later = tiny_params(
        ingest={"test_share": 0.45, "val_share": 0.15},
        train_gan={"learning_rate": 0.003},
        retrain={"steps": 9, "most_steps": 9},
    )
    assert replace(run, params=later).key == run.key
    assert replace(ours, params=later).key != ours.key
    others = [replace(run, contestant=name) for name in CONTESTANTS if name != "plain"]
    others += [replace(run, seed=1), replace(run, task="digits-20"), replace(run, minutes=1)]
    assert len({run.key, *(other.key for other in others)}) == len(others) + 1
    judged = Job("digits-5", "plain", None, 0, 1, run.params, tmp_path, tmp_path, 1)
    job = PeerJob(run, judged)
    assert PeerJob(replace(run, params=later), replace(judged, params=later)).key != job.key


def test_what_is_made_at_a_mark_costs_no_time(tmp_path: Path, clock: SimpleNamespace) -> None:
    def make() -> np.ndarray[Any, Any]:
        clock.now += 1000
        return np.zeros((1, 8, 8, 1), np.uint8)

    loop = (64.0 * number for number in range(1, 100))
    rows = peers_training._watch(loop, make, [0.25, 0.45], tmp_path)
    assert [row["seconds"] for row in rows] == pytest.approx([0.3, 0.5])
    assert [row["images"] for row in rows] == [3 * 64, 5 * 64]


@pytest.mark.parametrize("name", ["default", "plain", "plain-10x"])
def test_a_budget_is_cpu_time_and_the_same_for_all(
    name: str, tmp_path: Path, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers_training, "_TICK_KIMG", 0.008)
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)  # the wall's would never end
    run = _run(tmp_path, name)
    cut = _cut(run)
    if name != "default":  # the example's batch is more than these images
        small = replace(CONTESTANTS[name], batch_size=8)  # type: ignore[type-var]
        monkeypatch.setitem(CONTESTANTS, name, small)
    run.train(cut)
    told = run.looks()
    assert told.failed is None
    assert told.looks[-1].seconds == pytest.approx(1.0, abs=0.31)
    shown = [look.images for look in told.looks]
    assert shown == sorted(set(shown))
    made = told.looks[-1].made()
    assert made.shape == (len(run.labels(cut.train)), 8, 8, 1)
    assert made.dtype == np.uint8
    assert not np.array_equal(made, told.looks[0].made())
    clock.now = 0.0
    run.train(cut)
    assert clock.now == 0.0  # nothing is trained twice


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    script = tmp_path / "child.py"
    script.write_text(_CHILD, encoding="utf-8")
    monkeypatch.setattr(peers_training, "_CHILD", script)
    return script


def test_one_gan_a_class_shares_the_time_and_keeps_its_label(tmp_path: Path, child: Path) -> None:
    run = _run(tmp_path, "lightweight-small-classes", minutes=1)
    train = _cut(run).train
    run.train(_cut(run))
    told = run.looks()
    # of 6, 3 and 1.5 s, that every child had at 7.5, 15, 30 s: 2 s at least, so two marks are one
    assert [look.seconds for look in told.looks] == [20.0, 30.0, 60.0]
    assert [look.mark for look in told.looks] == [0.25, 0.5, 1.0]
    assert told.looks[-1].images == 480
    last = told.looks[-1].made()
    assert last.shape[1:] == train.image_shape
    np.testing.assert_array_equal(last[:, 0, 0, 0], 20 * run.labels(train) + 3)
    assert not list(run.folder.glob("child-*"))


def test_a_loss_without_a_number_is_kept_and_a_broken_environment_is_not(
    tmp_path: Path, child: Path
) -> None:
    cut = _cut(run := _run(tmp_path, "lightweight-small"))
    child.write_text("raise SystemExit('No module named lightweight_gan')", encoding="utf-8")
    for broken, said in ((run, "No module"), (replace(run, python=None), "--peer-python")):
        with pytest.raises(PeerEnvironmentError, match=said):
            broken.train(cut)
    assert not run.folder.exists()
    child.write_text("class NanException(Exception): ...\nraise NanException", encoding="utf-8")
    run.train(cut)
    assert "NanException" in str(run.looks().failed)
    assert run.looks().looks == []


def test_blocks_are_averaged() -> None:
    large = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(shrunk(large, 2)[0, :, :, 0], [[2, 4], [10, 12]])
    np.testing.assert_array_equal(shrunk(large, 4), large)


class _Trainer:
    """As much of lightweight-gan's as the script touches."""

    latent_dim, batch_size, gradient_accumulate_every = 3, 4, 2

    def __init__(self, **settings: Any) -> None:
        self.batch_size, self.steps, self.fails = settings["batch_size"], 0, 2
        self.GAN = SimpleNamespace(eval=lambda: None, G=None)
        self.drawn: list[float] = []

    def set_data_src(self, data: Path) -> None: ...

    def init_GAN(self) -> None:  # noqa: N802
        self.drawn.append(float(torch.rand(())) + random.random())

    def train(self) -> None:
        if self.fails:
            self.fails -= 1
            raise ArithmeticError
        self.steps += 1
        self.drawn.append(float(torch.rand(())))

    def generate_(self, generator: None, latents: torch.Tensor) -> torch.Tensor:
        return latents.sigmoid()[:, :, None, None].expand(-1, -1, 32, 32)


def test_the_foreign_loop_looks_at_marks_without_a_trace(
    tmp_path: Path, clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[_Trainer] = []

    def build(**settings: Any) -> _Trainer:
        made.append(_Trainer(**settings))
        return made[-1]

    library = SimpleNamespace(Trainer=build, NanException=ArithmeticError)
    monkeypatch.setattr(peers_lightweight, "library", lambda: library)
    for number in range(4):
        (tmp_path / f"{number}.png").touch()
    for marks in ([0.45], [0.05, 0.35, 0.45]):
        given = {"batch_size": 10, "count": 5}
        peers_lightweight.train(tmp_path, tmp_path, given, seed=7, marks=marks)
    rows = json.loads((tmp_path / "looks.json").read_text())
    assert [row["steps"] for row in rows] == [1, 4, 5]
    assert rows[0]["images"] == 4 * 2  # no more in a batch than there are images
    assert made[0].drawn == made[1].drawn
    assert np.load(tmp_path / "images-2.npy").shape == (5, 32, 32, 3)
    assert peers_lightweight._OnCpu().device("cuda:0") == torch.device("cpu")


def test_a_step_without_a_number_is_tried_three_times() -> None:
    trainer = _Trainer(batch_size=1)
    trainer.fails = 3
    library = SimpleNamespace(NanException=ArithmeticError)
    with pytest.raises(ArithmeticError):
        peers_lightweight.step(library, trainer)


@pytest.mark.parametrize("name", ["plain", "lightweight-small"])
def test_real_images_are_judged_better_than_noise(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _run(tmp_path, name)
    cut = _cut(run)
    labels, rng = run.labels(cut.train), np.random.default_rng(0)
    rows = [int(rng.choice(np.flatnonzero(cut.cut.labels == label))) for label in labels]
    real = np.asarray(cut.cut.images)[rows]
    noise = rng.integers(0, 256, real.shape, dtype=np.uint8)
    run.folder.mkdir(parents=True)
    for number, images in enumerate((noise, real)):
        np.save(run.folder / f"images-{number}.npy", images)
    looks = [{"seconds": 1.0, "images": 8}, {"seconds": 2.0, "images": 16}]
    told = {"machine": "here", "looks": looks, "failed": None}
    (run.folder / "looks.json").write_text(json.dumps(told))
    longer = tiny_params(
        ingest={"test_share": 0.45, "val_share": 0.15},
        retrain={"steps": 40, "most_steps": 40, "batch_size": 32},
    )
    judged = Job("digits-5", name, None, 0, 1, longer, tmp_path, tmp_path, 1)
    row = PeerJob(run, judged).do()
    assert json.loads(json.dumps(row)) == row
    noisy, true = row["path"]
    assert true["kid"] < noisy["kid"] / 10
    assert true["synthetic"][0] > noisy["synthetic"][0] + 0.2


def test_a_curve_has_a_line_a_mark_and_a_picture(tmp_path: Path) -> None:
    looks = [
        {"mark": mark, "seconds": 60 * mark, "images": 80, "kid": 0.1, "coverage": 0.5}
        for mark in (0.5, 1.0)
    ]
    path = [look | {"synthetic": [0.5, 0.6]} for look in looks]
    slower = [path[1] | {"seconds": 66.0, "kid": 0.3}]
    names = {"task": "t", "machine": "here"}
    rows = [
        names | {"contestant": "a", "seed": 0, "path": path},
        names | {"contestant": "b", "seed": 0, "path": slower},
        names | {"contestant": "a", "seed": 1, "path": slower},
    ]
    assert curve_table(rows).splitlines()[2:] == [
        "| a | 1 | 0.50 | 80 | 0.1000 | 0.50 | 55.0 |",
        "| a | 2 | 1.05 ± 0.07 | 80 ± 0 | 0.2000 ± 0.1414 | 0.50 ± 0.00 | 55.0 ± 0.0 |",
        "| b | 1 | 1.10 | 80 | 0.3000 | 0.50 | 55.0 |",
    ]
    draw(rows, "t", tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_look_is_read_without_unpickling(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        Look(1, 1, 1, tmp_path / "x.npy").made()

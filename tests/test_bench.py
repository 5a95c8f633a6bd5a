"""The benches: what they compare is what they say, and what is done is not lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import gan_jobs, gan_speed
from bench.contestants import PLAIN, TECHNIQUES, contestant, settings
from bench.datasets import ROOT, TASKS, ingest_params, load_cut
from bench.gan_jobs import Job, run_job
from bench.gan_tables import REAL, quality_table, reached_table, techniques_table
from bench.ledger import Ledger, Row
from bench.plain_loop import PlainLoop
from tasks.contracts.errors import UserError
from tasks.contracts.params.line import Params, load_params
from tasks.data.collection import distinct, split
from tasks.data.reading import decode
from tasks.data.sources import items_of
from tests.contracts.tiny import shape_set, tiny_params

_DEFAULT = load_params(ROOT / "params.yaml").train_gan


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None: ...


def _job(folder: Path, **changes: Any) -> Job:
    params = tiny_params(ingest={"test_share": 0.45, "val_share": 0.15})
    gan = settings(params.train_gan, {}, kimg=0.064)
    return replace(Job("digits-5", "default", gan, 0, 1, params, folder, folder, 2), **changes)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_a_technique_is_valid_and_no_idle_row(name: str) -> None:
    default = settings(_DEFAULT, {}, kimg=1)
    assert settings(_DEFAULT, TECHNIQUES[name], kimg=1) != default


def test_the_plain_gan_shares_budget_and_batch_and_no_technique() -> None:
    plain, default = (settings(_DEFAULT, contestant(n), kimg=3) for n in (PLAIN, "default"))
    assert (plain.total_kimg, plain.batch_size) == (default.total_kimg, default.batch_size)
    assert (plain.network, plain.loss, plain.diffaug) == ("dcgan", "nonsaturating", ())
    assert not any(plain.penalties.model_dump().values())


@pytest.mark.parametrize("name", ["digits-5", "digits-tail"])
def test_a_task_holds_no_test_image_and_no_image_twice(name: str, tmp_path: Path) -> None:
    params: Params = _job(tmp_path).params
    cut = load_cut(name, params, tmp_path, tmp_path)
    ingest = ingest_params(name, params)
    items = items_of(ROOT / TASKS[name].source).items
    decoded, done = decode(items, ingest, lambda done, text: None)
    found = distinct(decoded, done.given, done.digest)
    whole = found.images
    sealed = set(split(whole, found.given, ingest, params.seed)["test"].manifest["image_id"])
    parts = [set(part.manifest["image_id"]) for part in (cut.train, cut.cut, cut.val)]
    assert all(parts)
    assert len(set.union(sealed, *parts)) == len(sealed) + sum(map(len, parts)) == len(whole)
    assert not set(cut.dev.manifest["image_id"]) & parts[0]
    assert not set(cut.judge.manifest["image_id"]) & (parts[2] | sealed)
    again = load_cut(name, params, tmp_path, tmp_path)
    assert again.train.images.tobytes() == cut.train.images.tobytes()


def test_images_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--images"):
        load_cut("mnist-20", _job(tmp_path).params, tmp_path, tmp_path)


def test_a_key_names_what_decides_the_result_alone(tmp_path: Path) -> None:
    job = _job(tmp_path)
    assert job.gan is not None
    same = replace(job, contestant="other", scratch=tmp_path / "x", images=tmp_path / "y")
    assert same.key == job.key
    gentler = job.gan.model_copy(update={"learning_rate": 0.001})
    others = [replace(job, task="digits-20"), replace(job, gan=gentler), replace(job, gan=None)]
    others += [replace(job, seed=1), replace(job, classifier_seeds=2)]
    assert len({job.key, *(other.key for other in others)}) == len(others) + 1


def test_a_stopped_bench_goes_on_where_it_was(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    jobs = [_job(tmp_path, seed=seed) for seed in range(3)]
    ledger = Ledger(file, "new")
    ledger.add(jobs[0].key, {"seed": 0, "code": "old"})
    with file.open("a", encoding="utf-8") as torn:
        torn.write('{"key": "' + jobs[1].key)
    again = Ledger(file, "new")
    assert again.missing([*jobs, jobs[2]], fresh=False) == jobs[1:]
    assert again.missing(jobs, fresh=True) == jobs
    again.add(jobs[2].key, {"seed": 2, "code": "new"})
    renamed = [replace(job, contestant="renamed") for job in jobs]
    rows = Ledger(file, "new").find(renamed)
    assert [(row["seed"], row["contestant"]) for row in rows] == [(0, "renamed"), (2, "renamed")]


def _row(name: str, seed: int, kids: list[float], **more: Any) -> Row:
    path = [{"kimg": k + 1, "seconds": 2 * k, "kid": kid} for k, kid in enumerate(kids)]
    scores = {"synthetic": [0.5, 0.6], "real_synthetic": [0.9]}
    speed = {"seconds": 8.0, "images_per_second": 100.0}
    row = {"task": "t", "contestant": name, "seed": seed, "path": path, "final": path[-1]}
    return row | scores | speed | more


def test_tables_pair_by_seed_and_tell_failures() -> None:
    broken = {"task": "t", "contestant": "plain", "seed": 1, "failed": "diverged"}
    real = {"task": "t", "contestant": REAL, "seed": 0, "real": [0.8, 0.9]}
    rows = [real, _row("plain", 0, [3.0, 2.0, 2.5]), broken]
    rows += [_row("default", 0, [2.5, 1.9, 1.0]), _row("default", 1, [9.0, 8.0, 7.0])]
    quality = quality_table(rows).splitlines()
    assert len(quality) == 4
    assert "| t | plain | 1 of 2 | 2.5000 |" in quality[2]
    assert quality[2].endswith("| 85.0 ± 7.1 |")
    assert "| t | default | 2 of 2 | 4.0000 ± 4.2426 |" in quality[3]
    assert reached_table(rows).splitlines()[2:] == ["| t | 0 | 2.0000 | 2 | 2 | 2 | 2 |"]
    changed = [_row("hinge", 0, [1.5], images_per_second=50.0), _row("hinge", 1, [8.5])]
    line = techniques_table([*rows[3:], *changed]).splitlines()[-1]
    assert line.startswith("| hinge | 2 | ")
    assert "| +1.0000 ± 0.7071 |" in line  # KID by 0.5 and 1.5
    assert line.endswith("| 0.75 ± 0.35 |")


def test_a_job_trains_judges_and_can_be_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gan_jobs, "JUDGE_STEPS", 2)
    monkeypatch.setattr(gan_jobs, "POOL", 6)
    row = run_job(_job(tmp_path))
    assert json.loads(json.dumps(row)) == row
    assert [look["kimg"] for look in row["path"]] == pytest.approx([0.032, 0.064])
    assert 0 < sum(row["synthetic"] + row["real_synthetic"]) < 2
    alone = run_job(_job(tmp_path, gan=None))
    assert len(alone["real"]) == 1
    assert "default" in quality_table([row, alone | {"contestant": REAL}])


def test_the_plain_loop_trains_both_networks() -> None:
    train = shape_set(8)
    generator = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.Unflatten(1, (1, 8, 8)))
    judge = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1), torch.nn.Flatten(0))

    class Labelled(torch.nn.Module):
        latent_dim = 4

        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return self.inner(inputs)

    torch.manual_seed(0)
    loop = PlainLoop(Labelled(generator), Labelled(judge))
    before = [p.clone() for p in (*generator.parameters(), *judge.parameters())]
    turns = loop.rounds(train, batch_size=8, steps=2)
    next(turns)
    next(turns)
    after = [*generator.parameters(), *judge.parameters()]
    assert not any(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    moments = loop.optimizer_d.state_dict()["state"].values()
    assert {int(moment["step"]) for moment in moments} == {4}


def test_loops_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []
    seconds = gan_speed.take_turns([lambda: order.append("a"), lambda: order.append("b")], 2)
    assert order == ["a", "b"] * 3
    assert [len(one) for one in seconds] == [2, 2]


def test_speed_is_measured_on_one_game() -> None:
    case = gan_speed.Case("conv", 8, 1)
    game = gan_speed.params_of(case, 1, game=PLAIN)
    assert (game.loss, game.diffaug, game.network) == ("nonsaturating", (), "conv")
    assert not any(game.penalties.model_dump().values())
    line = gan_speed.against_plain(case, steps=1, rounds=1)
    assert all(float(speed) > 0 for speed in line[5:9])
    assert len(gan_speed.layouts(case, steps=1, rounds=1)) == 8
    slopes = gan_speed.penalties(case, steps=1, rounds=1)[5:]
    assert len(slopes) == 5
    assert all(float(speed) > 0 for speed in slopes)
    before, after, times = gan_speed.against_checkout(case, gan_speed.ROOT, 1, 1)[5:]
    assert float(times) == pytest.approx(float(after) / float(before), rel=0.05)

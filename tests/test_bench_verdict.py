"""The verdict's calibration: pools of a known effect, honest rates, and nothing done twice."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta, t

from bench.datasets import ROOT
from bench.ledger import Row
from bench.verdict_pool import POOLS, make_pool
from bench.verdict_run import MOST_RUNS, VerdictRun, small_params
from bench.verdict_tables import calibration_report, promised_power, rate
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, image_id
from tasks.contracts.params.line import Params, load_params
from tests.data.fake_sets import noise_set

_GANS = {0: "aa" * 32, 3: "bb" * 32}


def _pool(mode: str, source: ImageSet, per_class: int = 5, seed: int = 0) -> ImageSet:
    known = set(source.manifest["image_id"])
    return make_pool(mode, source, _GANS, per_class, known, np.random.default_rng(seed))


def _origins(pool: ImageSet, source: ImageSet) -> list[int]:
    """The source row that each pool image is within one grey level of one pixel of."""
    apart = np.abs(pool.images[:, None].astype(int) - source.images[None].astype(int))
    assert (apart.sum(axis=(2, 3, 4)).min(axis=1) == 1).all()
    return apart.sum(axis=(2, 3, 4)).argmin(axis=1).tolist()


@pytest.mark.parametrize("mode", POOLS)
def test_a_pool_looks_like_the_gans_and_is_real(mode: str) -> None:
    source = noise_set(12)
    pool = _pool(mode, source)
    ids = pool.manifest["image_id"]
    assert ids.tolist() == [image_id(image) for image in pool.images]
    assert not ids.duplicated().any()
    assert not set(ids) & set(source.manifest["image_id"])
    assert (pool.manifest["origin"] == "synthetic").all()
    assert not pool.manifest.duplicated(["gan_seed", "latent_seed"]).any()
    counts = pool.manifest.groupby(["gan_seed", "checkpoint", "label"]).size()
    assert counts.to_dict() == {(g, c, label): 5 for g, c in _GANS.items() for label in (0, 1)}
    origins = _origins(pool, source)
    assert (source.labels[origins] == pool.labels).all()
    assert (_pool(mode, source).images == pool.images).all()
    assert (_pool(mode, source, seed=1).images != pool.images).any()


def test_a_null_pool_repeats_and_a_planted_one_never_does() -> None:
    source = noise_set(12)
    assert len(set(_origins(_pool("null", source), source))) < 20
    assert len(set(_origins(_pool("planted", source), source))) == 20
    most = _pool("planted", source, per_class=100)
    assert sorted(_origins(most, source)) == list(range(24))


def test_an_image_may_come_more_often_than_it_has_rows() -> None:
    one_each = noise_set(1)
    pool = _pool("null", one_each, per_class=30)
    assert pool.manifest["image_id"].nunique() == 120


def test_a_class_without_enough_unseen_images_is_refused() -> None:
    with pytest.raises(UserError, match=r"per_class"):
        _pool("planted", noise_set(1))


def _params() -> Params:
    return small_params(load_params(ROOT / "params.yaml"))


def test_a_run_is_known_by_all_that_decides_it(tmp_path: Path) -> None:
    run = VerdictRun("null", 0, 0, _params(), tmp_path)
    moved = dataclasses.replace(run, scratch=tmp_path / "x")
    assert moved.key == run.key
    gentler = run.params.retrain.model_copy(update={"steps": 7})
    changed = dataclasses.replace(run.params, retrain=gentler)
    others = [{"mode": "planted"}, {"seed": 1}, {"number": 1}, {"params": changed}]
    assert len({run.key, *(dataclasses.replace(run, **other).key for other in others)}) == 5


def test_no_two_runs_share_a_root_seed(tmp_path: Path) -> None:
    seeds = [
        VerdictRun("null", seed, number, _params(), tmp_path).root_seed
        for seed in range(3)
        for number in (0, 1, MOST_RUNS - 1)
    ]
    assert len(set(seeds)) == len(seeds)


def _row(verdict: str, lift: float, half: float, mde: float) -> Row:
    ends = {"lift_pp": lift, "ci_low": lift - half, "ci_high": lift + half, "mde_pp": mde}
    against = {"verdict": "hurts"} | {key: -value for key, value in ends.items()}
    row = {"verdict": verdict, "baseline": "real", "seconds": {"a": 1.0}, **ends}
    row |= {"recipe": "mixup", "steps": 200}
    against |= {"ci_low": -9.0, "ci_high": 9.0, "mde_pp": 12.0}
    return row | {"against_repeated": against}


def test_rates_are_exact() -> None:
    low, high = 100 * beta.ppf(0.025, 3, 98), 100 * beta.ppf(0.975, 4, 97)
    assert rate([True] * 3 + [False] * 97) == f"3 of 100 (3.0 %, {low:.1f} to {high:.1f})"
    assert rate([False] * 100).endswith("(0.0 %, 0.0 to 3.6)")
    assert rate([]) == "0 of 0"


def _table(text: str) -> dict[str, list[str]]:
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {name: cells for name, *cells in lines}


def test_a_null_report_counts_every_verdict_and_every_refusal() -> None:
    rows = [_row("helps", 3.0, 1.0, 1.5), _row("hurts", -3.0, 4.0, 6.0)]
    rows += [_row("inconclusive", 0.0, 1.0, 1.5), {"refused": "x: no. Do.", "seconds": {}}]
    text = calibration_report("null", rows)
    table = _table(text)
    runs, helps, hurts, lift, half, mde, held = table["null: filtered, strongest arm"]
    assert (runs, lift, half, mde) == ("3", "+0.00 ± 3.00", "1.00", "1.50")
    assert helps.startswith("1 of 3 (")
    assert hurts.startswith("1 of 3 (")
    assert held.startswith("2 of 3 (")
    repeated = table["null: filtered, repeated real images"]
    assert [cell.split(" (")[0] for cell in repeated[1:3]] == ["0 of 3", "3 of 3"]
    assert table["null: unfiltered, repeated real images"] == ["0", *"––––––"]
    assert "Refused 1 times: x: no. Do." in text


def test_a_planted_report_asks_the_promise_of_the_runs_that_made_it() -> None:
    rows = [_row("helps", 4.0, 1.0, 1.9), _row("inconclusive", 1.0, 1.2, 1.9)]
    rows += [_row("helps", 1.0, 8.0, 9.0)]
    cells = _table(calibration_report("planted", rows))["planted: filtered, strongest arm"]
    promised, power, found = cells[-3:]
    assert promised.startswith("1 of 2 (")  # the true lift is taken for 2
    assert (power, found) == (f"{100 * np.mean([promised_power(r, 2.0) for r in rows]):.0f}", "67")


def test_the_promised_power_is_the_students_of_the_run() -> None:
    df, se = 12.0, 0.7
    half, mde = t.ppf(0.975, df) * se, t.ppf([0.975, 0.8], df).sum() * se
    row = _row("helps", 1.0, half, mde)
    assert promised_power(row, half) == pytest.approx(0.5)
    assert promised_power(row, mde) == pytest.approx(0.8)
    for lift in np.linspace(0.5, 3.5, 7):
        assert promised_power(row, lift) == pytest.approx(t.cdf((lift - half) / se, df), abs=0.02)


def test_a_report_of_refusals_alone_still_tells_them() -> None:
    text = calibration_report("planted", [{"refused": "x: no. Do.", "seconds": {}}])
    assert text == "- Refused 1 times: x: no. Do."


def _small(folder: Path) -> VerdictRun:
    params = _params()
    sections: dict[str, dict[str, Any]] = {
        "train_gan": {"total_kimg": 0.128, "width": 4},
        "quality_filter": {"classifier_steps": 3},
        "retrain": {"steps": 2, "most_steps": 4, "seeds": (0, 1), "batch_size": 10},
    }
    changed = {name: getattr(params, name).model_copy(update=own) for name, own in sections.items()}
    return VerdictRun("planted", 0, 0, dataclasses.replace(params, **changed), folder)

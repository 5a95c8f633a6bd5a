from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import retrain
from tasks.classifier.scores import scores_of
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, concatenate
from tasks.contracts.params import ARMS
from tests.contracts.tiny import tiny_params
from tests.data.fake_sets import noise_set, synthetic_set

GANS = (3, 7)
SEEDS = [0, 5, 6]
METRICS = ["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "recall_0", "recall_1"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inputs")
    pools = [synthetic_set(4, gan_seed) for gan_seed in GANS]
    both = concatenate([noise_set(6), *(pool.take([0, 1, 4, 5]) for pool in pools)])
    seeds = both.manifest.astype({"gan_seed": "Int64"})
    ImageSet(both.images, seeds).save(root / "merged")
    concatenate([pool.take(range(7, -1, -1)) for pool in pools]).save(root / "control")
    noise_set(10, seed=50).save(root / "test")
    return root


def run(inputs: Path, out: Path, seed: int = 0, **overrides: object) -> Path:
    retrain.run(
        merged=inputs / "merged",
        control=inputs / "control",
        test=inputs / "test",
        runs=out / "a/runs.parquet",
        predictions=out / "b/predictions.parquet",
        params=tiny_params(retrain={"seeds": SEEDS} | overrides).retrain,
        seed=seed,
    )
    return out


@pytest.fixture(scope="module")
def tables(
    inputs: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pd.DataFrame, pd.DataFrame]:
    out = run(inputs, tmp_path_factory.mktemp("out") / "new")
    return pd.read_parquet(out / "a/runs.parquet"), pd.read_parquet(out / "b/predictions.parquet")


def test_every_arm_is_run_with_every_seed_nested_in_gans(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    runs, _ = tables
    assert list(zip(runs["arm"], runs["seed"], strict=True)) == [
        (arm, seed) for arm in ARMS for seed in SEEDS
    ]
    assert list(runs.columns) == ["arm", "seed", "gan_seed", *METRICS]
    assert str(runs["gan_seed"].dtype) == "Int64"
    for arm, rows in runs.groupby("arm"):
        expected = [pd.NA] * 3 if str(arm) in ("real", "real+classical") else [3, 7, 3]
        assert rows["gan_seed"].tolist() == expected


def test_every_run_judges_every_test_image_in_one_order(
    inputs: Path, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    runs, predictions = tables
    test = ImageSet.load(inputs / "test")
    assert len(predictions) == len(runs) * len(test)
    for _, rows in predictions.groupby(["arm", "seed"]):
        assert rows["image_id"].tolist() == test.manifest["image_id"].tolist()
        assert rows["group"].tolist() == test.manifest["group"].tolist()
        assert rows["label"].tolist() == test.labels.tolist()


def test_metrics_are_those_of_the_predictions(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    runs, predictions = tables
    for told in runs.itertuples():
        rows = predictions[(predictions["arm"] == told.arm) & (predictions["seed"] == told.seed)]
        label, p_label = rows["label"].to_numpy(), rows["p_label"].to_numpy()
        p_of_1 = np.where(label == 1, p_label, 1 - p_label)
        expected = scores_of(label, np.stack([1 - p_of_1, p_of_1], axis=1))
        for metric in METRICS:
            assert getattr(told, metric) == pytest.approx(expected[metric], rel=1e-5)
        assert rows["predicted"].tolist() == (p_of_1 > 0.5).astype(int).tolist()
        assert rows["confidence"].tolist() == pytest.approx(np.maximum(p_of_1, 1 - p_of_1))


def test_arms_of_one_seed_start_paired_but_train_apart(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    _, predictions = tables
    chances = predictions.groupby(["seed", "arm"])["p_label"].apply(tuple)
    assert chances.is_unique


def test_the_same_seed_gives_the_same_bytes_another_other_runs(
    inputs: Path, tmp_path: Path
) -> None:
    few = {"seeds": [0, 1]}
    one, two = (run(inputs, tmp_path / name, **few) for name in "ab")
    for name in ("a/runs.parquet", "b/predictions.parquet"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    other = run(inputs, tmp_path / "c", seed=1, **few)
    losses = [pd.read_parquet(out / "a/runs.parquet")["log_loss"] for out in (one, other)]
    assert (losses[0] != losses[1]).all()


def test_a_wrong_classifier_fails_before_any_training(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="resnet81: no such classifier"):
        run(inputs, tmp_path / "out", classifier="resnet81")
    with pytest.raises(UserError, match="squeezenet1_1: it cannot take 8 px images"):
        run(inputs, tmp_path / "out", classifier="squeezenet1_1")
    assert not (tmp_path / "out").exists()

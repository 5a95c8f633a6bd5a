from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import retrain
from tasks.classifier.saved import load_classifier
from tasks.classifier.scores import Predictions, scores_of
from tasks.classifier.training import probabilities
from tasks.contracts.arms import (
    ADAPTED,
    AFTER_OTHER_DOMAIN,
    ARMS,
    COMPARED,
    DISTILLED,
    FILTERED,
    OTHER_DOMAIN,
    PASTED,
    PSEUDO_LABELLED,
    REAL,
    REPEATED,
    SYNTHETIC_ONLY,
    UNFILTERED,
)
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, concatenate
from tasks.lift.fairness import check_fair
from tests.classifier.tiny_retrain import SEEDS, afresh, copied, run, same, told
from tests.data.fake_sets import noise_set

METRICS = ["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "recall_0", "recall_1"]
HALF, TWICE = f"{REAL} at 50 %", f"{REAL} at 200 %"
FROM_GAN = (UNFILTERED, FILTERED, SYNTHETIC_ONLY)


@pytest.fixture(scope="module")
def done(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(out)
        return run(inputs, out / "new")


@pytest.fixture(scope="module")
def tables(done: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.read_parquet(done / "a/runs.parquet"), pd.read_parquet(done / "b/predictions.parquet")


def test_every_arm_is_run_with_every_seed_nested_in_gans(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    runs, _ = tables
    assert list(zip(runs["arm"], runs["seed"], strict=True)) == [
        (arm, seed) for arm in (*ARMS, HALF, TWICE) for seed in SEEDS
    ]
    assert list(runs.columns) == [
        *("arm", "seed", "gan_seed", "recipe"),
        *("steps", "real_seen", "added_seen", "real", "added"),
        *(*METRICS[:4], "ece", *METRICS[4:]),
        *(f"val_{name}" for name in METRICS),
    ]
    assert str(runs["gan_seed"].dtype) == "Int64"
    for arm, rows in runs.groupby("arm"):
        expected = [3, 7, 3] if str(arm) in FROM_GAN else [pd.NA] * 3
        assert rows["gan_seed"].tolist() == expected


def test_every_arm_took_equal_steps_and_saw_as_many_real_images(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    runs, _ = tables
    assert runs["steps"].nunique() == 1
    assert runs[runs["arm"] != SYNTHETIC_ONLY]["real_seen"].nunique() == 1
    assert not runs[runs["arm"] == SYNTHETIC_ONLY]["real_seen"].any()
    added = runs.groupby("arm")["added_seen"].max()
    assert set(added.index[added == 0]) == {REAL, HALF, TWICE}
    assert runs["recipe"].nunique() == 1


def test_the_summary_tells_what_each_arm_was_made_of(done: Path) -> None:
    arms = told(done)["arms"]
    assert list(arms) == [*ARMS, HALF, TWICE]
    sizes = {arm: (of["real"], of["added"]) for arm, of in arms.items()}
    assert sizes[REAL] == (12, 0)
    assert sizes[FILTERED] == sizes[UNFILTERED] == sizes[REPEATED] == (12, 4)
    assert sizes[PASTED] == sizes[DISTILLED] == (12, 4)
    assert sizes[SYNTHETIC_ONLY] == (0, 4)
    assert sizes[PSEUDO_LABELLED] == sizes[OTHER_DOMAIN] == (12, 20)
    assert sizes[AFTER_OTHER_DOMAIN] == sizes[ADAPTED] == (12, 20)
    assert (sizes[HALF], sizes[TWICE]) == ((6, 0), (24, 0))


def test_arms_without_images_are_left_out_with_the_reason(inputs: Path, tmp_path: Path) -> None:
    poor = tmp_path / "poor"
    copied(inputs, poor, but=("distilled", "spare", "pseudo", "other_domain"))
    for name in ("distilled", "pseudo", "other_domain"):
        ImageSet.load(inputs / name).take([]).save(poor / name)
    ImageSet.load(inputs / "spare").take([0, 1, 2]).save(poor / "spare")
    out = run(poor, tmp_path / "out", seeds=[0, 1])
    left_out = told(out)["left_out"]
    assert left_out == {
        DISTILLED: "it is the control of soft labels, and quality_filter.labels is hard",
        PSEUDO_LABELLED: "there is no unlabelled image, or none got a label",
        OTHER_DOMAIN: "there is no image of another domain",
        AFTER_OTHER_DOMAIN: "there is no image of another domain",
        ADAPTED: "there is no image of another domain",
        TWICE: "class 'cat' would need 8 more labelled images; 3 are to spare",
    }
    ran = set(pd.read_parquet(out / "a/runs.parquet")["arm"])
    assert ran == {*ARMS, HALF} - set(left_out)


def test_an_entry_shows_as_many_images_and_trains_otherwise(
    inputs: Path, tmp_path: Path, done: Path
) -> None:
    """Only where there are both, so arms of real images alone are the same classifiers."""
    out = run(inputs, tmp_path / "out", schedule="pretrain")
    assert (told(done)["schedule"], told(out)["schedule"]) == ("mixed", "pretrain")
    before, after = (pd.read_parquet(of / "a/runs.parquet") for of in (done, out))
    shown = ["arm", "seed", "steps", "real_seen", "added_seen"]
    pd.testing.assert_frame_equal(before[shown], after[shown])
    alike = {
        arm: rows["log_loss"].equals(after.loc[rows.index, "log_loss"])
        for arm, rows in before.groupby("arm")
    }
    either_way = (REAL, HALF, TWICE, SYNTHETIC_ONLY, AFTER_OTHER_DOMAIN)
    assert alike == {arm: arm in either_way for arm in alike}


def test_the_classifier_that_is_best_on_val_is_kept(
    inputs: Path, done: Path, tables: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    runs, predictions = tables
    kept = told(done)["kept"]
    mine = runs[runs["arm"] == FILTERED].set_index("seed")
    best = mine.sort_values(["val_balanced_accuracy", "val_log_loss"], ascending=[False, True])
    assert (kept["arm"], kept["seed"]) == (FILTERED, best.index[0])
    weights = done / "c/classifier/model.safetensors"
    assert kept["sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    network, config = load_classifier(done / "c/classifier")
    assert config.class_names == ["cat", "dog"]
    rows = predictions[(predictions["arm"] == FILTERED) & (predictions["seed"] == kept["seed"])]
    said = probabilities(network, ImageSet.load(inputs / "test"))
    assert said.max(axis=1).tolist() == pytest.approx(rows["confidence"].tolist(), abs=1e-5)


def test_a_class_that_is_given_nothing_leaves_the_comparison_fair(
    inputs: Path, tmp_path: Path
) -> None:
    """One class is brought up: what is not from a GAN stands in, and arms differ in that alone."""
    one_sided = tmp_path / "one_sided"
    copied(inputs, one_sided, but=("merged",))
    merged = ImageSet.load(inputs / "merged")
    dogs = (merged.manifest["origin"] == "real") | (merged.labels == 1)
    merged.take(dogs.to_numpy()).save(one_sided / "merged")
    out = run(one_sided, tmp_path / "out", seeds=[0, 1])
    runs = pd.read_parquet(out / "a/runs.parquet")
    check_fair(runs)
    matched = runs[runs["arm"].isin([REPEATED, DISTILLED, UNFILTERED, FILTERED])]
    assert set(matched["added"]) == {2}
    assert set(matched["added_seen"]) == set(matched["real_seen"])
    assert told(out)["left_out"] == {"synthetic only": "class 'cat' is given no image of GAN 3"}


def test_a_classifier_without_batch_norm_has_none_to_adapt(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrain, "has_batch_norm", lambda network: False)
    out = run(inputs, tmp_path / "out", seeds=[0, 1])
    assert told(out)["left_out"] == {ADAPTED: "the classifier small_cnn has no batch norm"}


@pytest.mark.parametrize("arm", sorted({*COMPARED} - {FILTERED}))
def test_the_best_classifier_of_every_arm_that_may_win_is_kept(
    inputs: Path, done: Path, tables: tuple[pd.DataFrame, pd.DataFrame], arm: str
) -> None:
    runs, predictions = tables
    mine = runs[runs["arm"] == arm].set_index("seed")
    best = mine.sort_values(["val_balanced_accuracy", "val_log_loss"], ascending=[False, True])
    network, config = load_classifier(done / "c/classifiers" / arm)
    assert (config.arm, config.seed) == (arm, best.index[0])
    rows = predictions[(predictions["arm"] == arm) & (predictions["seed"] == config.seed)]
    said = probabilities(network, ImageSet.load(inputs / "test"))
    assert said.max(axis=1).tolist() == pytest.approx(rows["confidence"].tolist(), abs=1e-5)


def test_recipe_steps_and_rates_are_settled_and_train_every_arm(
    inputs: Path, tmp_path: Path
) -> None:
    out = run(
        inputs,
        tmp_path / "out",
        seeds=[0, 1],
        recipes=["plain", "classical"],
        most_steps=8,
        learning_rate=[0.002, 0.05],
    )
    content = told(out)
    chosen = [row for row in content["settling"] if row["chosen"]]
    assert len(chosen) == 1
    settled = ("recipe", "steps", "learning_rate", "weight_decay")
    assert [chosen[0][key] for key in settled] == [content[key] for key in settled]
    runs = pd.read_parquet(out / "a/runs.parquet")
    assert set(runs["recipe"]) == {content["recipe"]}
    assert set(runs["steps"]) == {content["steps"]}


def test_settling_reads_real_val_alone(inputs: Path, tmp_path: Path) -> None:
    """Other test images leave all that is settled as it is."""
    many = {"seeds": [0, 1], "recipes": "all", "most_steps": 8, "learning_rate": [0.002, 0.05]}
    one = told(run(inputs, tmp_path / "one", **many))
    other = tmp_path / "other"
    copied(inputs, other, but=("test",))
    noise_set(10, seed=99).save(other / "test")
    two = told(run(other, tmp_path / "two", **many))
    assert one["settling"] == two["settling"]
    assert one["kept"]["test"] != two["kept"]["test"]


def test_a_leak_stops_it_before_any_training(inputs: Path, tmp_path: Path) -> None:
    leaky = tmp_path / "leaky"
    copied(inputs, leaky, but=("merged",))
    merged, test = (ImageSet.load(inputs / name) for name in ("merged", "test"))
    concatenate([merged, test.take([4])]).save(leaky / "merged")
    with pytest.raises(UserError, match=r"a leak: 1 of its 21 images.* in real/test"):
        run(leaky, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_leak_from_another_domain_stops_it_too(inputs: Path, tmp_path: Path) -> None:
    leaky = tmp_path / "leaky"
    copied(inputs, leaky, but=("other_domain",))
    ImageSet.load(inputs / "val").take([3]).save(leaky / "other_domain")
    with pytest.raises(UserError, match=r"other_domain: a leak: 1 of its 1 images.* in real/val"):
        run(leaky, tmp_path / "out")


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
    for one in runs.itertuples():
        rows = predictions[(predictions["arm"] == one.arm) & (predictions["seed"] == one.seed)]
        label, p_label = np.array(rows["label"]), np.array(rows["p_label"])
        p_of_1 = np.where(label == 1, p_label, 1 - p_label)
        said = np.stack([1 - p_of_1, p_of_1], axis=1)
        expected = scores_of(label, Predictions.of(said, label), classes=2)
        for metric in METRICS:
            assert getattr(one, metric) == pytest.approx(expected[metric], rel=1e-5)
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
    one, two = run(inputs, tmp_path / "a", **few), afresh(inputs, tmp_path / "b", **few)
    same(one, two)
    other = run(inputs, tmp_path / "c", seed=1, **few)
    losses = [pd.read_parquet(out / "a/runs.parquet")["log_loss"] for out in (one, other)]
    assert (losses[0] != losses[1]).all()


def test_a_wrong_classifier_fails_before_any_training(inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="resnet81: no such classifier"):
        run(inputs, tmp_path / "out", classifier="resnet81")
    with pytest.raises(UserError, match="squeezenet1_1: it cannot take 8 px images"):
        run(inputs, tmp_path / "out", classifier="squeezenet1_1")
    assert not (tmp_path / "out").exists()


def test_predictions_are_the_same_however_few_are_written_at_a_time(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = run(inputs, tmp_path / "one", seeds=[0, 5])
    monkeypatch.setattr(retrain, "_ROWS", 45)
    two = run(inputs, tmp_path / "two", seeds=[0, 5])
    tables = [pd.read_parquet(out / "b/predictions.parquet") for out in (one, two)]
    pd.testing.assert_frame_equal(*tables)

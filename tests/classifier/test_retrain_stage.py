from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import retrain
from tasks.classifier import runs as runs_module
from tasks.classifier.arms import ARM_TABLE
from tasks.classifier.saved import load_classifier
from tasks.classifier.scores import Predictions, scores_of
from tasks.classifier.training import probabilities
from tasks.contracts.arms import ARMS, CLASSICAL, FILTERED, PSEUDO_LABELLED, UNFILTERED
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, concatenate, image_id
from tests.contracts.tiny import tiny_params
from tests.data.fake_sets import noise_set, synthetic_set

GANS = (3, 7)
SEEDS = [0, 5, 6]
METRICS = ["accuracy", "balanced_accuracy", "macro_f1", "log_loss", "recall_0", "recall_1"]
HALF, TWICE = f"{CLASSICAL} at 50 %", f"{CLASSICAL} at 200 %"
FROM_GAN = (UNFILTERED, FILTERED, "synthetic only")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("inputs")
    pools = [synthetic_set(4, gan_seed) for gan_seed in GANS]
    both = concatenate([noise_set(6), *(pool.take([0, 1, 4, 5]) for pool in pools)])
    seeds = both.manifest.astype({"gan_seed": "Int64"})
    ImageSet(both.images, seeds).save(root / "merged")
    concatenate([pool.take(range(7, -1, -1)) for pool in pools]).save(root / "control")
    for name, seed in (("test", 50), ("val", 51), ("pseudo", 52)):
        noise_set(10, seed=seed).save(root / name)
    noise_set(7, seed=53).save(root / "spare")
    return root


@pytest.fixture(autouse=True)
def nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Arm's row and seed of every classifier that is trained."""
    calls: list[tuple[str, int]] = []
    train_arm = runs_module.train_arm

    def watched(chosen, arm, schedule, *, seed: int, **others):
        calls.append((str(arm), seed))
        return train_arm(chosen, arm, schedule, seed=seed, **others)

    monkeypatch.setattr(runs_module, "train_arm", watched)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # in this process, where they are counted
    return calls


def run(inputs: Path, out: Path, seed: int = 0, **overrides: object) -> Path:
    given = ("merged", "control", "val", "spare", "pseudo", "test")
    retrain.run(
        **{name: inputs / name for name in given},
        runs=out / "a/runs.parquet",
        predictions=out / "b/predictions.parquet",
        classifier=out / "c/classifier",
        summary=out / "d/retrain.json",
        params=tiny_params(retrain={"seeds": SEEDS, "fractions": [0.5, 2.0]} | overrides).retrain,
        seed=seed,
    )
    return out


@pytest.fixture(scope="module")
def done(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(out)
        return run(inputs, out / "new")


@pytest.fixture(scope="module")
def tables(done: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.read_parquet(done / "a/runs.parquet"), pd.read_parquet(done / "b/predictions.parquet")


def afresh(inputs: Path, out: Path, **overrides: object) -> Path:
    """A run where nothing is kept."""
    with pytest.MonkeyPatch.context() as patch:
        out.mkdir()
        patch.chdir(out)
        return run(inputs, out / "new", **overrides)


def same(one: Path, two: Path) -> None:
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    assert len(files) == 5
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file


def kept_folders() -> list[Path]:
    return sorted(path for path in Path(".ganlift/kept/retrain").iterdir() if path.is_dir())


def told(out: Path) -> dict:
    return json.loads((out / "d/retrain.json").read_text(encoding="utf-8"))


def test_every_arm_is_run_with_every_seed_nested_in_gans(
    tables: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    runs, _ = tables
    assert list(zip(runs["arm"], runs["seed"], strict=True)) == [
        (arm, seed) for arm in (*ARMS, HALF, TWICE) for seed in SEEDS
    ]
    assert list(runs.columns) == [
        *("arm", "seed", "gan_seed", "steps", "real_seen", "added_seen"),
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
    assert runs[runs["arm"] != "synthetic only"]["real_seen"].nunique() == 1
    assert not runs[runs["arm"] == "synthetic only"]["real_seen"].any()
    added = runs.groupby("arm")["added_seen"].max()
    assert set(added.index[added == 0]) == {
        "real", CLASSICAL, "real+classical+mixup", HALF, TWICE,
    }  # fmt: skip


def test_the_summary_tells_what_each_arm_was_made_of(done: Path) -> None:
    arms = told(done)["arms"]
    assert list(arms) == [*ARMS, HALF, TWICE]
    sizes = {arm: (of["real"], of["added"]) for arm, of in arms.items()}
    assert sizes[CLASSICAL] == (12, 0)
    assert sizes[FILTERED] == sizes[UNFILTERED] == sizes["real+classical+duplicated"] == (12, 4)
    assert sizes["synthetic only"] == (0, 4)
    assert sizes[PSEUDO_LABELLED] == (12, 20)
    assert (sizes[HALF], sizes[TWICE]) == ((6, 0), (24, 0))


def test_arms_without_images_are_left_out_with_the_reason(inputs: Path, tmp_path: Path) -> None:
    poor = tmp_path / "poor"
    for name in ("merged", "control", "val", "test"):
        ImageSet.load(inputs / name).save(poor / name)
    ImageSet.load(inputs / "pseudo").take([]).save(poor / "pseudo")
    ImageSet.load(inputs / "spare").take([0, 1, 2]).save(poor / "spare")
    out = run(poor, tmp_path / "out", seeds=[0, 1])
    left_out = told(out)["left_out"]
    assert left_out == {
        PSEUDO_LABELLED: "no unlabelled image got a label",
        TWICE: "class 'cat' would need 6 more labelled images; 3 are to spare",
    }
    ran = set(pd.read_parquet(out / "a/runs.parquet")["arm"])
    assert ran == {*ARMS, HALF} - {PSEUDO_LABELLED}


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


def test_rate_and_decay_are_settled_on_val_and_frozen(inputs: Path, tmp_path: Path) -> None:
    out = run(
        inputs,
        tmp_path / "out",
        seeds=[0, 1],
        learning_rate=[0.002, 0.05],
        weight_decay=[0.01, 0.1],
    )
    search = told(out)["search"]
    assert [(row["learning_rate"], row["weight_decay"]) for row in search] == [
        (0.002, 0.01), (0.002, 0.1), (0.05, 0.01), (0.05, 0.1),
    ]  # fmt: skip
    chosen = [row for row in search if row["chosen"]]
    assert len(chosen) == 1
    assert chosen[0]["val_balanced_accuracy"] == max(r["val_balanced_accuracy"] for r in search)
    assert told(out)["learning_rate"] == chosen[0]["learning_rate"]
    assert told(out)["weight_decay"] == chosen[0]["weight_decay"]


def test_a_leak_stops_it_before_any_training(inputs: Path, tmp_path: Path) -> None:
    leaky = tmp_path / "leaky"
    for name in ("control", "val", "test", "spare", "pseudo"):
        ImageSet.load(inputs / name).save(leaky / name)
    merged, test = (ImageSet.load(inputs / name) for name in ("merged", "test"))
    concatenate([merged, test.take([4])]).save(leaky / "merged")
    with pytest.raises(UserError, match=r"a leak: 1 of its 21 images.* in real/test"):
        run(leaky, tmp_path / "out")
    assert not (tmp_path / "out").exists()


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


SETTLED = {"learning_rate": [0.002, 0.01]}
ALL_ARMS = len(ARMS) + 2  # two fractions beside


def test_more_seeds_train_the_new_runs_alone_and_end_as_a_fresh_run_of_all(
    inputs: Path,
    tmp_path: Path,
    trained: list[tuple[str, int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(inputs, tmp_path / "few", seeds=[0, 5], **SETTLED)
    assert len(trained) == 2 * ALL_ARMS + 4  # two seeds try each of two rates
    trained.clear()
    capsys.readouterr()
    more = run(inputs, tmp_path / "more", seeds=[0, 5, 6], **SETTLED)
    assert len(trained) == ALL_ARMS
    assert {seed for _, seed in trained} == {6}
    assert f"{2 * ALL_ARMS} of {3 * ALL_ARMS} runs kept" in capsys.readouterr().out
    trained.clear()
    again = run(inputs, tmp_path / "again", seeds=[0, 5, 6], **SETTLED)
    assert trained == []
    fresh = afresh(inputs, tmp_path / "fresh", seeds=[0, 5, 6], **SETTLED)
    same(more, fresh)
    same(again, fresh)


def test_another_gan_trains_anew_what_sees_its_images_alone(
    inputs: Path, tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    """Three seeds over two GANs, then over three: with the last seed it is another GAN's turn."""
    run(inputs, tmp_path / "two")
    wider, pool = tmp_path / "wider", synthetic_set(4, 9)
    for name in ("val", "test", "spare", "pseudo"):
        ImageSet.load(inputs / name).save(wider / name)
    added = {"merged": pool.take([0, 1, 4, 5]), "control": pool}
    for name, images in added.items():
        both = concatenate([ImageSet.load(inputs / name), images])
        seeds = both.manifest.astype({"gan_seed": "Int64"})
        ImageSet(both.images, seeds).save(wider / name)
    trained.clear()
    more = run(wider, tmp_path / "three")
    assert {seed for _, seed in trained} == {6}
    rows = {str(ARM_TABLE[name]) for name in FROM_GAN}
    assert {arm for arm, _ in trained} == rows
    same(more, afresh(wider, tmp_path / "fresh"))


@pytest.mark.parametrize(
    "change", ["train image", "test image", "label", "flip", "steps", "code", "processor"]
)
def test_what_decides_a_run_decides_whether_it_is_kept(
    change: str,
    inputs: Path,
    tmp_path: Path,
    trained: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few: dict[str, object] = {"seeds": [0, 5], "fractions": []}
    run(inputs, tmp_path / "before", **few)
    every = len(trained)
    trained.clear()
    changed = tmp_path / "changed"
    for name in ("merged", "control", "val", "test", "spare", "pseudo"):
        ImageSet.load(inputs / name).save(changed / name)
    if change in ("train image", "test image", "label"):
        name = "test" if change == "test image" else "merged"
        one = ImageSet.load(changed / name)
        images, manifest = np.array(one.images), one.manifest.copy()
        if change == "label":
            manifest.loc[0, ["label", "class_name"]] = [1, "dog"]
        else:
            images[0] += 1
            manifest.loc[0, "image_id"] = image_id(images[0])
        ImageSet(images, manifest).save(changed / name)
    elif change == "code":
        monkeypatch.setattr(runs_module, "code_of", lambda stage: b"other code")
    elif change == "processor":
        monkeypatch.setattr(runs_module, "processor", lambda: "another")
    else:
        few |= {"flip": {"flip": True}, "steps": {"steps": 3}}[change]
    run(changed, tmp_path / "after", **few)
    # the arm without real images knows of them the classes and the border colour alone
    assert len(trained) == every


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_run_is_noticed_and_trained_again(
    damage: str, inputs: Path, tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    before = run(inputs, tmp_path / "before", seeds=[0, 5])
    trained.clear()
    folder = kept_folders()[3]
    file = next(path for path in folder.iterdir() if path.name == "test.npz")
    file.write_bytes(file.read_bytes()[:-9]) if damage == "cut" else file.unlink()
    after = run(inputs, tmp_path / "after", seeds=[0, 5])
    assert len(trained) == 1
    same(before, after)


def test_what_a_killed_run_had_finished_is_not_trained_again(
    inputs: Path, tmp_path: Path, trained: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = runs_module.train_arm

    def killed(*given, **others):
        if len(trained) == 7:
            raise KeyboardInterrupt
        return watched(*given, **others)

    with monkeypatch.context() as patch:
        patch.setattr(runs_module, "train_arm", killed)
        with pytest.raises(KeyboardInterrupt):
            run(inputs, tmp_path / "killed", seeds=[0, 5])
    assert len(trained) == len(kept_folders()) == 7
    whole = run(inputs, tmp_path / "whole", seeds=[0, 5])
    assert len(trained) == 2 * ALL_ARMS
    same(whole, afresh(inputs, tmp_path / "fresh", seeds=[0, 5]))


def test_where_there_is_room_for_few_runs_the_answer_is_the_same(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrain, "_KEPT_BYTES", 20_000)
    run(inputs, tmp_path / "few", seeds=[0, 5])
    assert sum(f.stat().st_size for folder in kept_folders() for f in folder.iterdir()) < 20_000
    more = run(inputs, tmp_path / "more", seeds=[0, 5, 6])
    same(more, afresh(inputs, tmp_path / "fresh", seeds=[0, 5, 6]))


def test_a_rate_whose_training_diverges_is_out_and_not_tried_twice(
    inputs: Path, tmp_path: Path, trained: list[tuple[str, int]]
) -> None:
    rates = {"learning_rate": [1e30, 0.002], "seeds": [0, 1], "steps": 20, "fractions": []}
    one = run(inputs, tmp_path / "one", **rates)
    search = told(one)["search"]
    assert [row["val_balanced_accuracy"] is None for row in search] == [True, False]
    assert told(one)["learning_rate"] == 0.002
    trained.clear()
    same(one, run(inputs, tmp_path / "two", **rates))
    assert trained == []
    with pytest.raises(UserError, match="diverges with each of them"):
        run(inputs, tmp_path / "out", **rates | {"learning_rate": [1e30, 1e31]})
    with pytest.raises(UserError, match="no longer finite numbers after 20 steps"):
        run(inputs, tmp_path / "out", **rates | {"learning_rate": 1e30})


def test_predictions_are_the_same_however_few_are_written_at_a_time(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = run(inputs, tmp_path / "one", seeds=[0, 5])
    monkeypatch.setattr(retrain, "_ROWS", 45)
    two = run(inputs, tmp_path / "two", seeds=[0, 5])
    tables = [pd.read_parquet(out / "b/predictions.parquet") for out in (one, two)]
    pd.testing.assert_frame_equal(*tables)

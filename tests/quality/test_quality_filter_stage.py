from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks import quality_filter
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import SHARES, ImageSet, concatenate, image_id
from tasks.gan.checkpoint import save_checkpoint
from tasks.gan.model import build_gan
from tasks.quality.neighbours import some
from tasks.quality.selection import REASONS
from tests.contracts.tiny import SHAPES, shape_set, tiny_params
from tests.data.fake_sets import related

GANS = (0, 11)
PER_CLASS = 8
GENTLE = {"classifier_steps": 20, "p_real_quantile": 0.02, "confidence_quantile": 0.02}
pytestmark = pytest.mark.usefixtures("one_thread")


def as_pool(images: ImageSet, gan_seed: int) -> ImageSet:
    """Drawn shapes in the role of a GAN's images, for an untrained one makes none."""
    manifest = images.manifest.assign(
        image_id=[image_id(image) for image in images.images],
        origin="synthetic",
        gan_seed=gan_seed,
        latent_seed=np.arange(len(images)),
        checkpoint="ab" * 32,
    )
    return ImageSet(images.images, manifest)


def unlabelled() -> ImageSet:
    loose = shape_set(1, seed=7)
    return ImageSet(loose.images, loose.manifest.assign(label=-1, class_name=""))


def beside() -> ImageSet:
    return related(shape_set(1, seed=8))


def make_pool(train: ImageSet) -> ImageSet:
    """Of the first GAN, row 2 is a training image and row 11 nearly one, under their labels; of
    the second, row 5 is an unlabelled image and row 6 one of a related class.
    """
    one, two = (shape_set(PER_CLASS, seed=seed) for seed in (2, 3))
    one.images[2] = train.images[4]
    one.images[11] = train.images[12]
    one.images[11, 0, 0, 0] += 1
    two.images[5] = unlabelled().images[1]
    two.images[6] = beside().images[2]
    return concatenate([as_pool(one, GANS[0]), as_pool(two, GANS[1])])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stages before have left."""
    root = tmp_path_factory.mktemp("inputs")
    train = shape_set(8, seed=0)
    params = tiny_params(train_gan={"unlabelled": "pseudo_label"}).train_gan
    train.save(root / "train")
    shape_set(6, seed=1).save(root / "val")
    unlabelled().save(root / "unlabelled")
    beside().save(root / "related")
    make_pool(train).save(root / "pool")
    for seed in GANS:
        save_checkpoint(
            root / "gan" / str(seed), build_gan(train, params, seed), SHAPES, params, seed
        )
    return root


def run(inputs: Path, out: Path, pool: Path | None = None, **overrides: object) -> Path:
    quality_filter.run(
        train=inputs / "train",
        val=inputs / "val",
        unlabelled=inputs / "unlabelled",
        related=inputs / "related",
        gan=inputs / "gan",
        pool=pool or inputs / "pool",
        accepted=out / "sets/accepted",
        control=out / "sets/control",
        distilled=out / "sets/distilled",
        scores=out / "a/scores.parquet",
        reasons=out / "b/reasons.csv",
        reliability=out / "b/reliability.csv",
        tuning=out / "b/tuning.csv",
        metrics=out / "c/filter.json",
        params=tiny_params(quality_filter=GENTLE | overrides).quality_filter,
        seed=0,
    )
    return out


@pytest.fixture(scope="module")
def out(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(inputs, tmp_path_factory.mktemp("out") / "new")


def test_copies_are_thrown_out(inputs: Path, out: Path) -> None:
    scores = pd.read_parquet(out / "a/scores.parquet")
    train = ImageSet.load(inputs / "train").manifest["image_id"]
    row = 3 * PER_CLASS + 5
    assert scores["reason"][[2, 11, row, row + 1]].tolist() == ["copy"] * 4
    assert scores["nearest_real"][row] == unlabelled().manifest["image_id"][1]
    assert scores["nearest_real"][row + 1] == beside().manifest["image_id"][2]
    assert scores["nearest_distance"][2] == 0
    assert scores["nearest_real"][[2, 11]].tolist() == train[[4, 12]].tolist()
    assert scores["nearest_distance"][11] == pytest.approx(1 / 8)


def test_what_the_merge_asks_for_is_held_against_what_was_accepted(
    inputs: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = ImageSet.load(inputs / "pool")
    asked = pool.manifest["label"].map({0: 1, 1: PER_CLASS, 2: 0})
    ImageSet(pool.images, pool.manifest.assign(asked=asked)).save(tmp_path / "pool")
    again = run(inputs, tmp_path / "again", pool=tmp_path / "pool")
    for name in ("sets/accepted", "sets/control"):  # the figure is for the filter alone
        for file in ("images.npy", "manifest.parquet"):
            assert (again / name / file).read_bytes() == (out / name / file).read_bytes()
    short = json.loads((again / "c/filter.json").read_text())["short"]
    assert list(short) == [SHAPES[1]]
    assert short[SHAPES[1]]["asked"] == PER_CLASS
    assert short[SHAPES[1]]["accepted"] < PER_CLASS
    mend = f"`ganlift run --set generate.per_needed={short[SHAPES[1]]['per_needed']}`"
    assert mend in capsys.readouterr().out
    assert "short" not in json.loads((out / "c/filter.json").read_text())


def test_scores_reasons_metrics_and_sets_agree(inputs: Path, out: Path) -> None:
    pool, accepted = ImageSet.load(inputs / "pool"), ImageSet.load(out / "sets/accepted")
    scores = pd.read_parquet(out / "a/scores.parquet")
    reasons = pd.read_csv(out / "b/reasons.csv")
    metrics = json.loads((out / "c/filter.json").read_text())
    keep = np.flatnonzero(scores["reason"] == "accepted")
    assert scores["image_id"].tolist() == pool.manifest["image_id"].tolist()
    np.testing.assert_array_equal(accepted.images, pool.images[keep])
    assert accepted.manifest["image_id"].tolist() == scores["image_id"][keep].tolist()
    for images in (accepted, ImageSet.load(out / "sets/control")):
        assert list(images.manifest) == list(pool.manifest)  # the scores have a file of their own
    for score in ("p_real", "confidence"):
        assert scores[score].between(0, 1).all()
        assert (scores[score][keep] >= scores[f"{score}_threshold"][keep]).all()
    counted = reasons.set_index(["class_name", "reason"])["count"]
    assert list(counted.index) == [(name, reason) for name in SHAPES for reason in REASONS]
    for (name, reason), count in counted.items():
        chosen = (scores["class_name"] == name) & (scores["reason"] == reason)
        assert count == chosen.sum()
    assert metrics["pool"] == len(pool)
    assert metrics["accepted"] == len(keep)
    assert metrics["copies"] == scores["reason"].isin(["copy", "near duplicate"]).sum()
    assert metrics["acceptance_rate"] == pytest.approx(len(keep) / len(pool), abs=1e-4)
    assert 0 <= metrics["brier"] <= 0.3
    for name in SHAPES:
        assert metrics["per_class"][name]["pool"] == 2 * PER_CLASS
        assert metrics["per_class"][name]["accepted"] == counted[name, "accepted"]
        mine = scores["class_name"] == name
        for score in ("nearest_distance", "hash_distance"):
            (threshold,) = scores[f"{score}_threshold"][mine].unique()
            assert metrics["per_class"][name][f"{score}_threshold"] == round(threshold, 6)


def test_thresholds_are_one_for_each_class_and_gan(out: Path) -> None:
    scores = pd.read_parquet(out / "a/scores.parquet")
    assert (scores.groupby("label")["confidence_threshold"].nunique() == 1).all()
    per_gan = scores.groupby(["gan_seed", "label"])["p_real_threshold"]
    assert (per_gan.nunique() == 1).all()
    assert per_gan.first().nunique() > len(SHAPES)  # each discriminator has its own


def test_the_control_is_as_many_from_the_whole_pool(inputs: Path, out: Path) -> None:
    pool, kinds = ImageSet.load(inputs / "pool"), ["gan_seed", "label"]
    accepted, control = (ImageSet.load(out / "sets" / name) for name in ("accepted", "control"))
    counts = [part.manifest.groupby(kinds).size().to_dict() for part in (accepted, control)]
    assert counts[0] == counts[1]
    assert set(control.manifest["image_id"]) <= set(pool.manifest["image_id"])
    assert control.manifest["image_id"].is_unique
    assert [image_id(one) for one in control.images] == control.manifest["image_id"].tolist()


def test_the_same_inputs_give_the_same_bytes(inputs: Path, out: Path, tmp_path: Path) -> None:
    again = run(inputs, tmp_path / "again")
    files = [path.relative_to(out) for path in out.rglob("*") if path.is_file()]
    assert len(files) == 11
    for file in files:
        assert (out / file).read_bytes() == (again / file).read_bytes(), file


def test_hard_labels_are_those_the_images_were_made_for(out: Path) -> None:
    assert len(ImageSet.load(out / "sets/distilled")) == 0
    for name in ("accepted", "control"):
        assert SHARES not in ImageSet.load(out / "sets" / name).manifest


@pytest.mark.parametrize("tune", [False, True])
def test_soft_labels_are_given_to_all_that_is_compared_and_change_nothing_else(
    inputs: Path, out: Path, tmp_path: Path, tune: bool
) -> None:
    soft = run(inputs, tmp_path / "soft", labels="ensemble", tune=tune)
    accepted, control, made = (
        ImageSet.load(soft / "sets" / name) for name in ("accepted", "control", "distilled")
    )
    for images in (accepted, control, made):
        shares = np.stack(images.manifest[SHARES].to_list())
        assert shares.shape == (len(images), len(SHAPES))
        np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-5)
    scores = pd.read_parquet(soft / "a/scores.parquet").set_index("image_id")
    own = [
        shares[label]
        for shares, label in zip(accepted.manifest[SHARES], accepted.labels, strict=True)
    ]
    sure = scores.loc[accepted.manifest["image_id"], "confidence"]
    np.testing.assert_allclose(own, sure, rtol=1e-5)  # by the same classifiers
    counts = accepted.manifest.groupby(["label", "gan_seed"]).size().groupby("label").max()
    assert made.manifest.groupby("label").size().to_dict() == counts.to_dict()
    held_out = set(ImageSet.load(inputs / "val").manifest["group"])
    assert not held_out & set(made.manifest["group"])
    assert json.loads((soft / "c/filter.json").read_text())["labels"] == "ensemble"
    if not tune:
        for name in ("accepted", "control"):
            images = (of / "sets" / name / "images.npy" for of in (out, soft))
            assert next(images).read_bytes() == next(images).read_bytes()


def copied(inputs: Path, labels: tuple[int, ...], folder: Path) -> Path:
    """The pool, with training images in place of those of some classes."""
    train, pool = ImageSet.load(inputs / "train"), ImageSet.load(inputs / "pool")
    images = np.array(pool.images)
    for label in labels:
        rows = pool.labels == label
        images[rows] = train.images[np.resize(np.flatnonzero(train.labels == label), rows.sum())]
    ids = [image_id(image) for image in images]
    ImageSet(images, pool.manifest.assign(image_id=ids)).save(folder)
    return folder


def test_an_emptied_class_is_said_and_does_not_end_the_line(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = copied(inputs, (1,), tmp_path / "pool")
    out = run(inputs, tmp_path / "out", pool)
    said = capsys.readouterr().out
    assert "none of GAN 0's 8 images of class 'square' was accepted; 8 fell to copy; its" in said
    scores = pd.read_parquet(out / "a/scores.parquet")
    assert (scores["reason"][scores["class_name"] == "square"] == "copy").all()
    accepted = ImageSet.load(out / "sets/accepted")
    assert len(accepted)
    assert "square" not in set(accepted.manifest["class_name"])


def test_a_gan_without_an_accepted_image_is_left_out(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost, kept = GANS
    pool, train = ImageSet.load(inputs / "pool"), ImageSet.load(inputs / "train")
    images, rows = np.array(pool.images), pool.manifest["gan_seed"].to_numpy() == lost
    images[rows] = train.images[np.resize(np.arange(len(train)), rows.sum())]
    ids = [image_id(image) for image in images]
    ImageSet(images, pool.manifest.assign(image_id=ids)).save(tmp_path / "pool")
    out = run(inputs, tmp_path / "out", tmp_path / "pool")
    said = capsys.readouterr().out
    assert f"none of GAN {lost}'s 24 images was accepted; 24 fell to copy; this GAN is" in said
    assert "stand in" not in said  # for the classes of a GAN that no arm has
    for name in ("accepted", "control"):
        assert set(ImageSet.load(out / "sets" / name).manifest["gan_seed"]) == {kept}


def test_where_no_gan_has_an_accepted_image_the_scores_are_kept(
    inputs: Path, tmp_path: Path
) -> None:
    pool = copied(inputs, tuple(range(3)), tmp_path / "pool")
    with pytest.raises(UserError, match=r"all 2 GANs: none of 48 images .*48 fell to copy"):
        run(inputs, tmp_path / "out", pool, classifier_steps=3)
    assert (pd.read_parquet(tmp_path / "out/a/scores.parquet")["reason"] == "copy").all()
    assert (tmp_path / "out/b/reasons.csv").is_file()
    assert not (tmp_path / "out/sets").exists()


def test_the_report_tells_every_step_and_how_true_p_real_is(out: Path) -> None:
    metrics = json.loads((out / "c/filter.json").read_text())
    rules = metrics["rules"]
    names = ["pool", "copy", "near duplicate", "low confidence", "low p_real", "accepted"]
    assert [rule["rule"] for rule in rules] == names
    assert (rules[0]["left"], rules[-1]["left"]) == (metrics["pool"], metrics["accepted"])
    assert sum(rule["rejected"] for rule in rules) == metrics["pool"] - metrics["accepted"]
    assert set(metrics["control"]) == {"coverage", "recall", "precision"}
    assert set(metrics["authentic"]) == {"pool", "accepted", "real"}
    assert metrics["calibration"] == "logistic"
    assert metrics["tuned"] is None
    assert metrics["measured"] == metrics["pool"]
    p_real = pd.read_parquet(out / "a/scores.parquet").groupby("gan_seed")["p_real"]
    assert metrics["constant_p_real"] == [g for g in GANS if p_real.nunique()[g] == 1]
    assert 0.05 <= metrics["temperature"] <= 20
    curve = pd.read_csv(out / "b/reliability.csv")
    assert curve.columns.tolist() == ["gan_seed", "p_real", "share_real", "images"]
    assert curve.groupby("gan_seed")["images"].sum().to_dict() == dict.fromkeys(GANS, 36)
    assert pd.read_csv(out / "b/tuning.csv").empty


def test_what_attacks_tell_of_training_images_is_measured(out: Path) -> None:
    attacks = json.loads((out / "c/filter.json").read_text())["membership"]
    assert list(attacks) == ["nearest", "discriminator"]
    for of in attacks.values():
        assert (of["members"], of["non_members"], of["tpr"]) == (24, 18, None)
        auc = of["auc"]
        assert 0 <= auc["ci_low"] <= auc["value"] <= auc["ci_high"] <= 1
    # the pool is drawn by other seeds than either side, but for two images of real/train
    assert attacks["nearest"]["auc"]["ci_low"] < 0.5


def test_copies_may_be_kept(inputs: Path, tmp_path: Path) -> None:
    scores = pd.read_parquet(
        run(inputs, tmp_path, classifier_steps=3, reject_copies=False) / "a/scores.parquet"
    )
    assert not scores["reason"].isin(["copy", "near duplicate", "not authentic"]).any()
    assert scores["is_copy"].sum() >= 3


def test_every_rule_together_gives_a_filter(inputs: Path, tmp_path: Path) -> None:
    everything = {
        "calibration": "isotonic",
        "select": "rejection_sampling",
        "margin_quantile": 0.01,
        "realism_quantile": 0.01,
        "per_class": 3,
        "diversity": "farthest_point",
    }
    run(inputs, tmp_path, **everything)
    accepted = ImageSet.load(tmp_path / "sets/accepted").manifest
    assert accepted.groupby(["gan_seed", "label"]).size().max() <= 3
    rules = json.loads((tmp_path / "c/filter.json").read_text())["rules"]
    assert [rule["rule"] for rule in rules[-3:]] == ["low p_real", "over quota", "accepted"]


def test_tuning_is_logged_and_applied(inputs: Path, tmp_path: Path) -> None:
    run(inputs, tmp_path, tune=True, classifier_steps=5)
    metrics = json.loads((tmp_path / "c/filter.json").read_text())
    log = pd.read_csv(tmp_path / "b/tuning.csv")
    chosen = log[log["chosen"]].iloc[0]
    assert len(log) == metrics["tuned"]["tried"] == 12
    assert chosen["val_balanced_accuracy"] == log["val_balanced_accuracy"].max()
    assert metrics["accepted"] == chosen["accepted"]
    for key, value in metrics["tuned"]["chosen"].items():
        assert value == chosen[key]
    per_class = ImageSet.load(tmp_path / "sets/accepted").manifest.groupby(["gan_seed", "label"])
    assert per_class.size().max() <= chosen["per_class"]


def test_a_discriminator_that_prefers_its_fakes_is_named_and_chooses_nothing(
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def backwards(network: object, images: ImageSet) -> np.ndarray:
        fake = (images.manifest["origin"] == "synthetic").to_numpy()
        return fake * 3.0 + np.random.default_rng(len(images)).normal(size=len(images))

    monkeypatch.setattr(quality_filter, "discriminator_logits", backwards)
    run(inputs, tmp_path, classifier_steps=3, p_real_quantile=0.3, confidence_quantile=0.0)
    assert json.loads((tmp_path / "c/filter.json").read_text())["constant_p_real"] == list(GANS)
    scores = pd.read_parquet(tmp_path / "a/scores.parquet")
    assert (scores["p_real"] == 0.5).all()
    assert "low p_real" not in set(scores["reason"])
    assert "GAN 11: its discriminator" in capsys.readouterr().out


def test_a_large_pool_is_measured_by_a_bounded_part_and_looked_at_in_blocks(
    inputs: Path, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores and reasons stay; coverage, recall and precision are those of 20 images."""
    monkeypatch.setattr(
        quality_filter, "some", lambda count, most=20, seed=0: some(count, min(most, 20), seed)
    )
    monkeypatch.setattr(quality_filter, "_BLOCK", 7)
    run(inputs, tmp_path)
    scores, again = (pd.read_parquet(o / "a/scores.parquet") for o in (out, tmp_path))
    assert scores["reason"].equals(again["reason"])
    np.testing.assert_allclose(scores["realism"], again["realism"], rtol=1e-4)
    metrics = json.loads((tmp_path / "c/filter.json").read_text())
    assert metrics["measured"] == 20
    assert metrics["rules"][0]["left"] == metrics["pool"]
    assert metrics["rules"][-1]["left"] == metrics["accepted"]

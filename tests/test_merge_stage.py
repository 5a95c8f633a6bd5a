from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, concatenate
from tasks.contracts.params.merge import MergeParams
from tasks.merge import run
from tests.data.fake_sets import noise_set, synthetic_set


@pytest.fixture
def line(tmp_path) -> dict[str, Path]:
    """5 real images of each class; one GAN with 8 of each accepted, one with 8 and 2."""
    train, val, cut = noise_set(5, seed=0), noise_set(3, seed=1), noise_set(2, seed=2)
    train.save(tmp_path / "train")
    val.save(tmp_path / "val")
    rich, poor = synthetic_set(8, 0), synthetic_set(8, 4)
    poor = poor.take([*range(8), 8, 9])
    concatenate([rich, poor]).save(tmp_path / "accepted")
    sets = {"train": train, "val": val, "cut": cut}
    ledger = [one.manifest[["image_id"]].assign(split=split) for split, one in sets.items()]
    pd.concat(ledger, ignore_index=True).to_parquet(tmp_path / "splits.parquet", index=False)
    return {
        "train": tmp_path / "train",
        "accepted": tmp_path / "accepted",
        "splits": tmp_path / "splits.parquet",
        "merged": tmp_path / "out" / "merged",
        "result": tmp_path / "reports" / "merge.json",
    }


def merge(
    line: dict[str, Path], ratio: float = 1.0, seed: int = 0, target: str | int = "ratio"
) -> ImageSet:
    params = MergeParams(target_per_class=target, synthetic_per_real=ratio)
    run(**line, params=params, seed=seed)
    return ImageSet.load(line["merged"])


def replace_accepted(line: dict[str, Path], row: int, source: Path) -> str:
    """Put the first image of a real set in place of an accepted one, id and all."""
    accepted, real = ImageSet.load(line["accepted"]), ImageSet.load(source)
    images, manifest = np.array(accepted.images), accepted.manifest.copy()
    images[row] = real.images[0]
    name = str(real.manifest["image_id"][0])
    manifest.loc[row, ["image_id", "group"]] = name
    ImageSet(images, manifest).save(line["accepted"])
    return name


def test_merged_set_is_the_real_images_then_each_gans_share(line):
    merged = merge(line)
    real, accepted = ImageSet.load(line["train"]), ImageSet.load(line["accepted"])
    head, tail = merged.take(range(10)), merged.take(range(10, len(merged)))
    assert np.array_equal(head.images, real.images)
    pd.testing.assert_frame_equal(head.manifest[list(real.manifest)], real.manifest)
    assert head.manifest[["checkpoint", "gan_seed", "latent_seed"]].isna().all(axis=None)
    counts = tail.manifest.groupby(["gan_seed", "label"]).size()
    assert counts.to_dict() == {(0, 0): 5, (0, 1): 5, (4, 0): 5, (4, 1): 2}
    made = accepted.manifest.set_index("image_id")
    chosen = tail.manifest.set_index("image_id")
    pd.testing.assert_frame_equal(
        chosen[list(made)], made.loc[chosen.index], check_dtype=False
    )  # latent seeds too, which no float could hold
    assert str(merged.manifest["gan_seed"].dtype) == "Int64"
    assert str(merged.manifest["latent_seed"].dtype) == "Int64"


def test_result_counts_what_went_in_and_what_a_class_fell_short(line):
    merge(line)
    result = json.loads(line["result"].read_text(encoding="utf-8"))
    assert result["schema"] == "ganlift/merge/1"
    assert result["success"] is True
    assert (result["real"], result["synthetic"]) == (10, 17)
    assert result["per_gan"] == {
        "0": {"synthetic": 10, "ratio": 1.0},
        "4": {"synthetic": 7, "ratio": 0.7},
    }
    assert result["per_class"]["cat"] == {
        "real": 5, "accepted": 16, "share": 10, "synthetic": 10, "short": 0,
    }  # fmt: skip
    assert result["per_class"]["dog"] == {
        "real": 5, "accepted": 10, "share": 10, "synthetic": 7, "short": 3,
    }  # fmt: skip
    assert all(one["passed"] for one in result["expectations"])


@pytest.mark.parametrize("row", [0, 20])
def test_copy_of_a_training_image_among_accepted_is_named_chosen_or_not(line, row):
    name = replace_accepted(line, row, line["train"])
    merge_again = {**line, "merged": line["merged"].parent / "again"}
    with pytest.raises(UserError, match="copy of any real image"):
        merge(merge_again, ratio=0.2)
    result = json.loads(line["result"].read_text(encoding="utf-8"))
    assert result["success"] is False
    failed = [one for one in result["expectations"] if not one["passed"]]
    assert {row["image_id"] for one in failed for row in one["rows"]} == {name}
    assert not merge_again["merged"].exists()


def test_held_out_image_among_accepted_closes_the_gate(line):
    name = replace_accepted(line, 0, line["train"].parent / "val")
    with pytest.raises(UserError, match=r"real_split val") as error:
        merge(line)
    assert f"{'ab' * 32}:" in str(error.value)
    assert name in line["result"].read_text(encoding="utf-8")
    assert not line["merged"].exists()


def test_held_out_image_among_train_closes_the_gate(line):
    leaked = ImageSet.load(line["train"].parent / "val").take([0])
    concatenate([ImageSet.load(line["train"]), leaked]).save(line["train"])
    with pytest.raises(UserError, match="is in the training split") as error:
        merge(line)
    assert leaked.manifest["source"][0] in str(error.value)
    assert not line["merged"].exists()


def test_image_of_two_gans_is_kept_once(line):
    accepted = ImageSet.load(line["accepted"])
    images, manifest = np.array(accepted.images), accepted.manifest.copy()
    images[16] = images[0]  # the first GAN's cat, once more from the second
    manifest.loc[16, ["image_id", "group"]] = manifest.loc[0, "image_id"]
    ImageSet(images, manifest).save(line["accepted"])
    merged = merge(line, ratio=1.6)
    assert merged.manifest["image_id"].is_unique
    kept = merged.manifest.query("image_id == @manifest.image_id[0]")
    assert kept["gan_seed"].tolist() == [0]
    assert json.loads(line["result"].read_text(encoding="utf-8"))["repeated"] == 1


def test_order_of_accepted_images_does_not_matter_but_the_seed_does(line):
    def outputs() -> list[bytes]:
        files = [*sorted(line["merged"].iterdir()), line["result"]]
        return [file.read_bytes() for file in files]

    merge(line)
    first = outputs()
    accepted = ImageSet.load(line["accepted"])
    shuffled = accepted.take(np.random.default_rng(0).permutation(len(accepted)))
    shuffled.save(line["accepted"])
    merge(line)
    assert outputs() == first
    merge(line, seed=1)
    assert outputs()[0] != first[0]


def test_other_image_shape_closes_the_gate_without_a_trace(line):
    accepted = ImageSet.load(line["accepted"])
    cropped = np.ascontiguousarray(accepted.images[:, :4])
    ImageSet(cropped, accepted.manifest).save(line["accepted"])
    with pytest.raises(UserError):
        merge(line)
    text = line["result"].read_text(encoding="utf-8")
    failed = {one["column"] for one in json.loads(text)["expectations"] if not one["passed"]}
    assert "height" in failed


def test_rare_classes_are_brought_up_and_frequent_ones_left_alone(line, capsys):
    ImageSet.load(line["train"]).take([0, 1, 5, 6, 7, 8, 9]).save(line["train"])
    merged = merge(line, target="balance")
    counts = merged.manifest.value_counts(["class_name", "origin"]).to_dict()
    assert counts == {("dog", "real"): 5, ("cat", "real"): 2, ("cat", "synthetic"): 6}
    told = json.loads(line["result"].read_text(encoding="utf-8"))["per_class"]
    assert told["cat"] == {"real": 2, "accepted": 16, "share": 6, "synthetic": 6, "short": 0}
    assert told["dog"] == {"real": 5, "accepted": 10, "share": 0, "synthetic": 0, "short": 0}
    assert "asked for" not in capsys.readouterr().out


def test_a_class_that_falls_short_of_a_target_is_told(line, capsys):
    merged = merge(line, target=9)
    synthetic = merged.manifest.query("origin == 'synthetic'")
    assert synthetic.groupby(["gan_seed", "class_name"]).size().to_dict() == {
        (0, "cat"): 4, (0, "dog"): 4, (4, "cat"): 4, (4, "dog"): 2,
    }  # fmt: skip
    assert "class 'dog' got 6 of the 8 images asked for" in capsys.readouterr().out


def test_ratio_below_one_image_is_refused(line):
    with pytest.raises(UserError, match="less than one image"):
        merge(line, ratio=0.01)


def test_images_are_never_held_together(tmp_path, monkeypatch):
    """Merging used to copy the chosen images and then all of them once more."""
    for chunked in ("contracts.image_set", "data.pixel_stats"):
        monkeypatch.setattr(f"tasks.{chunked}._CHUNK_BYTES", 2**16, raising=False)
    monkeypatch.setattr("tasks.merge.check_suites", lambda suites: [])
    real, made = noise_set(150, shape=(64, 64, 1)), noise_set(150, seed=9, shape=(64, 64, 1))
    real.save(tmp_path / "train")
    manifest = made.manifest.assign(origin="synthetic", gan_seed=0, latent_seed=range(300))
    ImageSet(made.images, manifest.assign(checkpoint="ab" * 32)).save(tmp_path / "accepted")
    real.manifest[["image_id"]].assign(split="train").to_parquet(tmp_path / "splits.parquet")
    line = {name: tmp_path / name for name in ("train", "accepted", "merged", "result")}
    tracemalloc.start()
    try:
        merged = merge(line | {"splits": tmp_path / "splits.parquet"})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(merged) == 600
    assert peak < merged.images.nbytes / 2

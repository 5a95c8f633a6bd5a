"""Ingest and what belongs together: twins, groups, leaks between given splits, what changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from tasks import ingest
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tests.data.fake_ingest import bytes_of, parts_of, rejects_of, run, save

PER_CLASS = 24


def darker(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.asarray(Image.open(path), dtype=np.float64)
    Image.fromarray(np.rint(0.6 * pixels + 10).astype(np.uint8)).save(to, lossless=True)


def photos(top: Path, size: int = 32) -> Path:
    """Two classes of soft random pictures, and a darker exposure of every third."""
    rng = np.random.default_rng(0)
    for kind in ("ant", "bee"):
        for number in range(PER_CLASS):
            picture = gaussian_filter(rng.normal(size=(size, size)), 2)
            low, high = picture.min(), picture.max()
            pixels = np.rint(20 + 220 * (picture - low) / (high - low)).astype(np.uint8)
            save(top / kind / f"{number:02d}.png", pixels)
            if number % 3 == 0:
                darker(top / kind / f"{number:02d}.png", top / kind / f"{number:02d}-dark.png")
    return top


AT_32 = {"image_size": 32, "twins": 0.984}


def test_twins_stay_in_one_split_and_are_written_down(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    out = run(source, tmp_path / "out", **AT_32)
    pairs = pd.read_csv(out / "twins/twins.csv")
    assert len(pairs) == 2 * PER_CLASS / 3
    assert (pairs["split_a"] == pairs["split_b"]).all()
    for one, other in zip(pairs["source_a"], pairs["source_b"], strict=True):
        assert sorted((one, other))[0] == sorted((one, other))[1].replace(".png", "-dark.png")
    everything = pd.concat(part.manifest for part in parts_of(out).values())
    assert everything["group"].nunique() == 2 * PER_CLASS
    summary = json.loads((out / "summary/ingest.json").read_text())
    assert summary["twin_pairs"] == len(pairs)
    assert summary["twin_pairs_of_two_classes"] == summary["groups_across_splits"] == 0
    assert summary["groups"] == 2 * PER_CLASS
    assert sum(summary["shares"].values()) == pytest.approx(1.0, abs=1e-3)
    alone = run(source, tmp_path / "alone", image_size=32, twins=None)
    pairs = pd.read_csv(alone / "twins/twins.csv")
    assert len(pairs) == 0


def test_twins_under_two_classes_are_kept_together_and_counted(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    (source / "ant/00-dark.png").rename(source / "bee/99.png")
    out = run(source, tmp_path / "out", **AT_32)
    summary = json.loads((out / "summary/ingest.json").read_text())
    assert summary["twin_pairs_of_two_classes"] == 1
    pairs = pd.read_csv(out / "twins/twins.csv")
    (row,) = pairs[pairs["class_a"] != pairs["class_b"]].itertuples()
    assert {row.source_a, row.source_b} == {"ant/00.png", "bee/99.png"}
    assert row.split_a == row.split_b
    assert rejects_of(out) == {}


def leaking(tmp_path: Path) -> Path:
    """Given splits, with a copy and a darker exposure of test images in train."""
    photos(tmp_path / "all")
    top = tmp_path / "given"
    for path in sorted((tmp_path / "all").rglob("*.png")):
        where = "test" if int(path.stem[:2]) >= 16 else "train"
        (top / where / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, top / where / path.parent.name)
    shutil.copy(top / "test/ant/17.png", top / "train/ant/copy.png")
    darker(top / "test/bee/17.png", top / "train/bee/dark.png")
    return top


LEAKS = {
    "train/ant/copy.png": "identical to test/ant/17.png",
    "train/bee/dark.png": "of one group with test/bee/17.png, which is in test",
}


def test_leaks_between_given_splits_are_dropped_and_counted(tmp_path: Path) -> None:
    out = run(leaking(tmp_path), tmp_path / "out", **AT_32)
    assert rejects_of(out) == LEAKS
    summary = json.loads((out / "summary/ingest.json").read_text())
    assert (summary["copies_across_splits"], summary["groups_across_splits"]) == (1, 1)
    groups = {name: set(part.manifest["group"]) for name, part in parts_of(out).items()}
    assert not groups["test"] & (groups["train"] | groups["val"])
    assert not groups["train"] & groups["val"]


def test_leaks_between_given_splits_are_refused_by_name(tmp_path: Path) -> None:
    told = r"1 copies and 1 images of one group .* such as train/ant/copy\.png"
    with pytest.raises(UserError, match=told):
        run(leaking(tmp_path), tmp_path / "out", on_leak="refuse", **AT_32)
    assert rejects_of(tmp_path / "out") == LEAKS
    assert not (tmp_path / "out/sets").exists()


def test_an_unlabelled_twin_of_a_held_out_image_is_left_out(tmp_path: Path) -> None:
    source = leaking(tmp_path)
    darker(source / "test/ant/19.png", source / "unlabelled/held.png")
    darker(source / "train/ant/02.png", source / "unlabelled/free.png")
    out = run(source, tmp_path / "out", **AT_32, val_share=0.01)
    loose = ImageSet.load(out / "sets/unlabelled").manifest["source"].tolist()
    assert "unlabelled/held.png" not in loose
    assert rejects_of(out)["unlabelled/held.png"] == "of one group with images in test"


def test_no_output_tells_a_hidden_label_by_a_twin(tmp_path: Path) -> None:
    source = photos(tmp_path / "photos")
    out = run(source, tmp_path / "out", label_fraction=0.3, **AT_32)
    pairs = pd.read_csv(out / "twins/twins.csv", keep_default_na=False)
    hidden = 0
    for end in ("a", "b"):
        loose = pairs[pairs[f"split_{end}"] == "unlabelled"]
        assert loose[f"source_{end}"].str.startswith("hidden/").all()
        assert (loose[f"class_{end}"] == "").all()
        hidden += len(loose)
    assert hidden > 4


def test_a_second_ingest_says_what_changed_outside_its_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = photos(tmp_path / "photos")
    monkeypatch.setattr(ingest, "CHANGES", tmp_path / "changes.csv")
    out = tmp_path / "out"
    first = bytes_of(run(source, out, **AT_32))
    assert not ingest.CHANGES.exists()
    capsys.readouterr()
    assert bytes_of(run(source, out, **AT_32)) == first
    assert "since the last ingest: nothing changed" in capsys.readouterr().out
    (source / "ant/01.png").unlink()
    (source / "ant/02.png").rename(source / "bee/moved.png")
    run(source, out, **AT_32)
    assert "1 gone" in capsys.readouterr().out
    changes = pd.read_csv(ingest.CHANGES, keep_default_na=False)
    by_kind = {row.change: (row.source, row.was, row.now) for row in changes.itertuples()}
    assert by_kind["relabelled"] == ("bee/moved.png", "ant", "bee")
    assert by_kind["gone"][0] == "ant/01.png"

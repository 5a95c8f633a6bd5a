from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks import ingest
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, image_id
from tests.contracts.tiny import SHAPES, draw_shape, tiny_params

PER_CLASS = 24
PARTS = ("train", "val", "test")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three classes of drawn shapes, as odd files: any format, size and depth of folders."""
    top = tmp_path / "shapes.v1"
    rng = np.random.default_rng(0)
    for kind in SHAPES:
        for number in range(PER_CLASS):
            suffix = (".png", ".bmp", ".TIF", ".webp")[number % 4]
            save(top / kind / f"{number:02d}{suffix}", draw_shape(kind, rng, 11 + number))
    return top


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze()).save(path)


def run(source: Path, out: Path, **overrides: object) -> Path:
    """Ingest into folders none of which exists yet."""
    ingest.run(
        source=source,
        train=out / "sets/train",
        val=out / "sets/val",
        test=out / "sets/test",
        splits=out / "ledger/splits.parquet",
        rejects=out / "rejects/rejects.csv",
        cut=out / "cut/cut.csv",
        summary=out / "summary/ingest.json",
        params=tiny_params(ingest=overrides).ingest,
        seed=0,
    )
    return out


def parts_of(out: Path) -> dict[str, ImageSet]:
    return {name: ImageSet.load(out / "sets" / name) for name in PARTS}


def rejects_of(out: Path) -> dict[str, str]:
    table = pd.read_csv(out / "rejects/rejects.csv")
    return dict(zip(table["source"], table["reason"], strict=True))


def test_summary_ledger_and_sets_agree(source: Path, tmp_path: Path) -> None:
    out = run(source, tmp_path / "out", per_class=6)
    parts, summary = parts_of(out), json.loads((out / "summary/ingest.json").read_text())
    ledger = pd.read_parquet(out / "ledger/splits.parquet")
    cut = pd.read_csv(out / "cut/cut.csv")
    assert summary["dataset"] == "shapes.v1"
    assert (summary["image_size"], summary["channels"]) == (8, 1)
    assert summary["classes"] == list(SHAPES)
    assert (summary["rejected"], summary["duplicates"]) == (0, 0)
    assert ledger["image_id"].is_unique
    assert len(ledger) == 3 * PER_CLASS
    for name, part in parts.items():
        assert part.class_names == SHAPES
        assert [image_id(image) for image in part.images] == part.manifest["image_id"].tolist()
        assert set(part.manifest["image_id"]) == set(ledger["image_id"][ledger["split"] == name])
        assert summary["counts"][name] == part.manifest["class_name"].value_counts().to_dict()
    assert set(cut["image_id"]) == set(ledger["image_id"][ledger["split"] == "cut"])
    assert summary["counts"]["cut"] == {
        one: int((cut["class_name"] == one).sum()) for one in SHAPES
    }
    assert summary["counts"]["train"] == dict.fromkeys(SHAPES, 6)
    assert rejects_of(out) == {}


def test_the_same_source_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    (source / "circle/bad.png").write_bytes(b"bad")
    moved = tmp_path / "elsewhere" / source.name
    shutil.copytree(source, moved)
    one, two = run(source, tmp_path / "one"), run(moved, tmp_path / "two")
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    assert len(files) == 10
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file


def test_copies_conflicts_and_bad_files_are_written_down(source: Path, tmp_path: Path) -> None:
    shutil.copy(source / "circle/00.png", source / "circle/zz.png")
    shutil.copy(source / "circle/04.png", source / "square/clash.png")
    (source / "square/empty.png").touch()
    out = run(source, tmp_path / "out")
    rejects = rejects_of(out)
    assert rejects["circle/zz.png"] == "identical to circle/00.png"
    clash = "identical images under circle, square"
    assert rejects["circle/04.png"] == rejects["square/clash.png"] == clash
    assert rejects["square/empty.png"].startswith("unreadable")
    assert len(rejects) == 4
    everything = pd.concat([part.manifest for part in parts_of(out).values()])
    assert not set(rejects) & set(everything["source"])
    assert len(everything) == 3 * PER_CLASS - 1
    summary = json.loads((out / "summary/ingest.json").read_text())
    assert (summary["rejected"], summary["duplicates"]) == (1, 3)


def test_given_splits_and_a_copy_across_them(source: Path, tmp_path: Path) -> None:
    top = tmp_path / "given"
    for kind in SHAPES:
        for path in sorted((source / kind).iterdir()):
            where = "test" if int(path.stem) >= 16 else "train"
            (top / where / kind).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, top / where / kind)
    shutil.copy(top / "test/circle/16.png", top / "train/circle/leak.png")
    out = run(top, tmp_path / "out")
    parts = parts_of(out)
    assert len(parts["test"]) == 3 * 8
    assert all(one.startswith("test/") for one in parts["test"].manifest["source"])
    held_out = pd.concat([parts["train"].manifest, parts["val"].manifest])["source"]
    assert len(held_out) == 3 * 16
    assert all(one.startswith("train/") for one in held_out)
    assert rejects_of(out) == {"train/circle/leak.png": "identical to test/circle/16.png"}


def test_too_many_bad_files_fail_with_the_list_written(source: Path, tmp_path: Path) -> None:
    for number in range(9):  # 9 of 81 is more than a tenth
        (source / f"circle/bad{number}.png").write_bytes(b"bad")
    with pytest.raises(UserError, match=r"9 of 81 files are unreadable.*rejects\.csv"):
        run(source, tmp_path / "out")
    assert len(rejects_of(tmp_path / "out")) == 9
    assert not (tmp_path / "out/sets").exists()
    run(source, tmp_path / "out", max_reject_share=0.12)


def test_copies_are_not_held_against_the_source(source: Path, tmp_path: Path) -> None:
    for number in range(9):
        shutil.copy(source / "circle/00.png", source / f"circle/zz{number}.png")
    out = run(source, tmp_path / "out", max_reject_share=0.0)
    assert len(rejects_of(out)) == 9


def test_a_class_of_bad_files_alone_leaves_no_gap_in_the_labels(
    source: Path, tmp_path: Path
) -> None:
    for path in (source / "square").iterdir():
        path.write_bytes(b"bad")
    with pytest.raises(UserError, match="class 'square'"):
        run(source, tmp_path / "out", max_reject_share=1.0)


def test_colour_anywhere_makes_all_colour(source: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    save(source / "circle/colour.png", draw_shape("circle", rng, 16, channels=3))
    assert parts_of(run(source, tmp_path / "auto"))["train"].image_shape == (8, 8, 3)
    grey = run(source, tmp_path / "grey", channels=1, image_size=16)
    assert parts_of(grey)["train"].image_shape == (16, 16, 1)


def test_no_source_no_output(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such source"):
        run(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()

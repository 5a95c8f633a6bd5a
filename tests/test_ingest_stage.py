from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, image_id
from tasks.data.decoding import open_image, to_pixels
from tasks.data.splits import hash_uniform
from tests.contracts.tiny import SHAPES, draw_shape
from tests.data.fake_ingest import PARTS, bytes_of, parts_of, rejects_of, run, save

PER_CLASS = 24


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


def id_of(path: Path) -> str:
    """The id that ingest gives to the image of a file."""
    return image_id(to_pixels(open_image(path), size=8, channels=1, fit="pad"))


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
    spare = ImageSet.load(out / "sets/spare")
    assert spare.manifest["image_id"].tolist() == cut["image_id"].tolist()
    assert spare.manifest["class_name"].tolist() == cut["class_name"].tolist()
    assert [image_id(image) for image in spare.images] == cut["image_id"].tolist()
    assert summary["counts"]["cut"] == {
        one: int((cut["class_name"] == one).sum()) for one in SHAPES
    }
    assert list(summary["counts"]) == ["train", "val", "test", "cut"]
    assert summary["counts"]["train"] == dict.fromkeys(SHAPES, 6)
    assert rejects_of(out) == {}


def test_the_same_source_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    (source / "circle/bad.png").write_bytes(b"bad")
    moved = tmp_path / "elsewhere" / source.name
    shutil.copytree(source, moved)
    one, two = run(source, tmp_path / "one"), run(moved, tmp_path / "two")
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    assert len(files) == 19
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


def test_no_output_tells_a_hidden_label(source: Path, tmp_path: Path) -> None:
    """Hidden images change places between the class folders: no byte of any output may differ."""
    honest = run(source, tmp_path / "honest", label_fraction=0.4, per_class=3)
    ledger = pd.read_parquet(honest / "ledger/splits.parquet").set_index("image_id")["split"]
    place = {one: hash_uniform(one, 0, "cut") for one in ledger.index}
    known = [place[one] for one in ledger.index[ledger.isin(["train", "cut"])]]
    files: dict[str, list[Path]] = {kind: [] for kind in SHAPES}
    for path in sorted(source.rglob("*.*")):
        one = id_of(path)
        # behind every labelled one in the order of choice, an image is hidden in any class
        if ledger[one] == "unlabelled" and place[one] > max(known):
            files[path.parent.name].append(path)
    swapped = 0
    for circle, triangle in zip(files["circle"], files["triangle"], strict=False):
        first, second = circle.read_bytes(), triangle.read_bytes()
        circle.write_bytes(second)
        triangle.write_bytes(first)
        swapped += 1
    assert swapped >= 2
    assert bytes_of(run(source, tmp_path / "lied", label_fraction=0.4, per_class=3)) == bytes_of(
        honest
    )
    hidden = ImageSet.load(honest / "sets/unlabelled").manifest
    assert len(hidden) == (ledger == "unlabelled").sum() > 10
    assert not set(hidden["image_id"]) & set(pd.read_csv(honest / "cut/cut.csv")["image_id"])
    assert hidden["source"].str.startswith("hidden/").all()


def test_a_folder_of_unlabelled_images_changes_no_labelled_set(
    source: Path, tmp_path: Path
) -> None:
    before = run(source, tmp_path / "before", per_class=6)
    rng = np.random.default_rng(1)
    for number in range(7):
        pixels = draw_shape("circle", rng, 16, channels=3)  # colour, where the others are grey
        save(source / f"unlabelled/web/{number}.png", pixels)
    shutil.copy(source / "unlabelled/web/3.png", source / "unlabelled/again.png")
    shutil.copy(source / "square/00.png", source / "unlabelled/known.png")
    (source / "unlabelled/bad.png").write_bytes(b"bad")
    after = run(source, tmp_path / "after", per_class=6, max_reject_share=0.2)
    for name in (*PARTS, "spare"):
        for file in ("images.npy", "manifest.parquet"):
            kept = (tmp_path / run_ / f"sets/{name}/{file}" for run_ in ("before", "after"))
            assert len({path.read_bytes() for path in kept}) == 1
    loose = ImageSet.load(after / "sets/unlabelled")
    assert loose.image_shape == parts_of(after)["train"].image_shape
    assert set(loose.labels) == {-1}
    sources = {f"unlabelled/web/{number}.png" for number in (0, 1, 2, 4, 5, 6)}
    assert set(loose.manifest["source"]) == sources | {"unlabelled/again.png"}
    rejects = rejects_of(after)
    assert rejects["unlabelled/known.png"] == "identical to square/00.png"
    assert rejects["unlabelled/web/3.png"] == "identical to unlabelled/again.png"
    assert rejects["unlabelled/bad.png"].startswith("unreadable")
    ledger = pd.read_parquet(after / "ledger/splits.parquet")
    own = ledger["image_id"][ledger["split"] == "unlabelled"]
    assert own.tolist() == loose.manifest["image_id"].tolist()
    assert ledger["image_id"].is_unique
    summary = json.loads((after / "summary/ingest.json").read_text())
    assert (summary["unlabelled"], summary["rejected"], summary["duplicates"]) == (7, 1, 2)
    assert summary["classes"] == list(SHAPES)
    assert json.loads((before / "summary/ingest.json").read_text())["unlabelled"] == 0
    assert len(ImageSet.load(before / "sets/unlabelled")) == 0


def test_images_of_another_domain_change_no_other_set_and_bring_no_leak(
    source: Path, tmp_path: Path
) -> None:
    before = run(source, tmp_path / "before", per_class=6)
    rng = np.random.default_rng(1)
    for name in SHAPES:
        for number in range(3):
            save(source / f"other_domain/{name}/{number}.png", draw_shape(name, rng, 16))
    held = ImageSet.load(before / "sets/test").manifest["source"][0]
    shutil.copy(source / held, source / "other_domain" / held)
    after = run(source, tmp_path / "after", per_class=6)
    for name in (*PARTS, "spare", "unlabelled"):
        for file in ("images.npy", "manifest.parquet"):
            kept = (tmp_path / run_ / f"sets/{name}/{file}" for run_ in ("before", "after"))
            assert len({path.read_bytes() for path in kept}) == 1
    others = ImageSet.load(after / "sets/other_domain")
    assert len(others) == 3 * len(SHAPES)
    assert others.class_names == parts_of(after)["train"].class_names
    folders = others.manifest["source"].str.split("/").str[1]
    assert (folders == others.manifest["class_name"]).all()
    assert rejects_of(after)[f"other_domain/{held}"] == f"identical to {held}"
    ledger = pd.read_parquet(after / "ledger/splits.parquet")
    own = ledger["image_id"][ledger["split"] == "other_domain"]
    assert own.tolist() == others.manifest["image_id"].tolist()
    assert ledger["image_id"].is_unique
    summary = json.loads((after / "summary/ingest.json").read_text())
    assert summary["counts"]["other_domain"] == dict.fromkeys(SHAPES, 3)
    assert "other_domain" not in summary["shares"]


def test_what_shares_a_group_with_a_held_out_image_does_not_come_in_by_another_domain(
    source: Path, tmp_path: Path
) -> None:
    for path in sorted((source / "circle").iterdir()):  # another picture of the same part
        rng = np.random.default_rng(int(path.stem) + 99)
        save(source / "other_domain/circle" / path.name, draw_shape("circle", rng, 16))
    out = run(source, tmp_path / "out", group_pattern=r"circle/\d+")
    sets = parts_of(out) | {"other": ImageSet.load(out / "sets/other_domain")}
    groups = {name: set(one.manifest["group"]) for name, one in sets.items()}
    assert groups["other"]
    assert groups["other"] <= groups["train"]
    reasons = [why for file, why in rejects_of(out).items() if file.startswith("other_domain/")]
    assert len(reasons) == PER_CLASS - len(sets["other"]) > 0
    assert {why[: len("of one group with")] for why in reasons} == {"of one group with"}


def test_a_class_of_another_domain_alone_is_refused(source: Path, tmp_path: Path) -> None:
    save(source / "other_domain/star/1.png", draw_shape("circle", np.random.default_rng(1), 16))
    with pytest.raises(UserError, match="class 'star' of other_domain"):
        run(source, tmp_path / "out")


def test_images_of_related_classes_change_no_other_set_and_bring_no_leak(
    source: Path, tmp_path: Path
) -> None:
    before = run(source, tmp_path / "before", per_class=6)
    rng, held = np.random.default_rng(1), ImageSet.load(before / "sets/test").manifest["source"]
    for name in ("star", "moon"):
        for number in range(3):
            save(source / f"related/{name}/{number}.png", draw_shape("circle", rng, 16))
    for number, name in enumerate(("cross", "star")):  # cross is nothing but held-out images
        (source / "related" / name).mkdir(exist_ok=True)
        shutil.copy(source / held[number], source / f"related/{name}/copy.png")
    after = run(source, tmp_path / "after", per_class=6)
    for name in (*PARTS, "spare", "unlabelled", "other_domain"):
        for file in ("images.npy", "manifest.parquet"):
            kept = (tmp_path / run_ / f"sets/{name}/{file}" for run_ in ("before", "after"))
            assert len({path.read_bytes() for path in kept}) == 1
    beside = ImageSet.load(after / "sets/related")
    assert len(ImageSet.load(before / "sets/related")) == 0
    assert len(beside) == 6
    assert beside.class_names == ("moon", "star")
    assert set(beside.labels) == {0, 1}
    folders = beside.manifest["source"].str.split("/").str[1]
    assert (folders == beside.manifest["class_name"]).all()
    for number, name in enumerate(("cross", "star")):
        assert rejects_of(after)[f"related/{name}/copy.png"] == f"identical to {held[number]}"
    summary = json.loads((after / "summary/ingest.json").read_text())
    assert summary["related"] == {"moon": 3, "star": 3}
    assert "related" not in summary["counts"]
    assert summary["classes"] == list(SHAPES)


@pytest.mark.parametrize(
    ("folders", "why"),
    [
        (("circle", "moon"), "class 'circle' of related: it is asked about too"),
        (("moon",), "class 'moon' of related: it is the only related class"),
    ],
)
def test_related_classes_that_teach_nothing_are_refused(
    source: Path, tmp_path: Path, folders: tuple[str, ...], why: str
) -> None:
    for number, name in enumerate(folders):
        drawn = draw_shape("circle", np.random.default_rng(number), 16)
        save(source / f"related/{name}/1.png", drawn)
    with pytest.raises(UserError, match=why):
        run(source, tmp_path / "out")


def test_bad_unlabelled_files_are_counted_among_their_own(source: Path, tmp_path: Path) -> None:
    save(source / "unlabelled/1.png", draw_shape("circle", np.random.default_rng(1)))
    (source / "unlabelled/bad.png").write_bytes(b"bad")
    with pytest.raises(UserError, match="1 of 2 files are unreadable"):
        run(source, tmp_path / "out")


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


def test_a_fold_is_told_and_what_is_not_asked_for_is_refused(source: Path, tmp_path: Path) -> None:
    out = run(source, tmp_path / "second", fold=2, folds=3)
    summary = json.loads((out / "summary/ingest.json").read_text(encoding="utf-8"))
    assert (summary["fold"], summary["folds"]) == (2, 3)
    assert summary["shares"]["test"] == pytest.approx(1 / 3, abs=0.05)
    for fold, folds, said in ((0, 3, "splits by shares"), (1, None, "fold 1"), (4, 3, "fold 4")):
        with pytest.raises(
            UserError, match=f"it asks for another line than this, which is .*{said}"
        ):
            run(source, tmp_path / "no", fold=fold, folds=folds)

"""Folders, tables, archives and shards mean the same images, and every file is accounted for."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import shutil
import tarfile
import unicodedata
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.contracts.errors import UserError
from tasks.data import archives
from tasks.data.items import OTHER_DOMAIN, RELATED, UNLABELLED, Listing
from tasks.data.sources import items_of


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (3, 3), level).save(file, "PNG")
    return file.getvalue()


def write(top: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return top


IMAGES = {
    "train/cat/1.png": png(1),
    "train/cat/deep/2.png": png(2),
    "train/dog/3.png": png(3),
    "test/cat/4.png": png(4),
    "test/dog/5.png": png(5),
    "unlabelled/6.png": png(6),
}
OTHERS = {"train/cat/Thumbs.db": b"x", "train/notes.txt": b"x", "__MACOSX/train/cat/._1.png": b"x"}


def meaning(listing: Listing) -> list[tuple[str, str | None, int]]:
    return [
        (item.class_name, item.split, int(np.asarray(item.open()).max())) for item in listing.items
    ]


EXPECTED = [
    ("cat", "test", 4), ("dog", "test", 5), ("cat", "train", 1), ("cat", "train", 2),
    ("dog", "train", 3), ("", UNLABELLED, 6),
]  # fmt: skip


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str) -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(params=["folder", "zip", "tar", "tar.gz", "tar.xz", "tar.bz2"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    files = IMAGES | OTHERS
    if request.param == "folder":
        return write(tmp_path / "source", files)
    path = tmp_path / f"source.{request.param}"
    if request.param == "zip":
        return zipped(path, files)
    return tarred(path, files, f"w:{request.param[4:]}")


def test_a_folder_and_its_archives_mean_the_same(source: Path) -> None:
    listing = items_of(source)
    assert sorted(meaning(listing)) == sorted(EXPECTED)
    assert [one.source for one in listing.passed_over] == sorted(OTHERS)
    assert len(listing.items) + len(listing.passed_over) == len(IMAGES) + len(OTHERS)
    assert all(one.reason and one.mend for one in listing.passed_over)
    again = pickle.loads(pickle.dumps(listing.items))  # our own bytes: another process decodes
    assert meaning(Listing(again)) == meaning(listing)


BESIDE = {
    "other_domain/cat/7.png": png(7),
    "other_domain/dog/deep/8.png": png(8),
    "related/fox/9.png": png(9),
}


@pytest.mark.parametrize("given", [True, False])
def test_another_domain_and_related_classes_stand_beside_classes_and_splits(
    tmp_path: Path, given: bool
) -> None:
    files = {name if given else name.partition("/")[2]: content for name, content in IMAGES.items()}
    if not given:
        del files["6.png"]
    bare = meaning(items_of(write(tmp_path / "bare", files)))
    both = meaning(items_of(write(tmp_path / "both", files | BESIDE)))
    others = [("cat", OTHER_DOMAIN, 7), ("dog", OTHER_DOMAIN, 8), ("fox", RELATED, 9)]
    assert both == [*bare, *others]


def test_a_table_may_name_another_domain_and_related_classes(tmp_path: Path) -> None:
    rows = "file_name,label,split\n2.png,dog,Other_Domain\n4.png,ant,Related\n1.png,cat,\n3.png,,\n"
    files = {f"{level}.png": png(level) for level in (1, 2, 3, 4)}
    source = write(tmp_path, files | {"metadata.csv": rows.encode()})
    others = [("dog", OTHER_DOMAIN, 2), ("ant", RELATED, 4), ("", UNLABELLED, 3)]
    told = [("cat", None, 1), *others]
    assert meaning(items_of(source)) == told


@pytest.mark.parametrize("beside", ["other_domain", "related"])
def test_images_beside_without_a_class_are_refused(tmp_path: Path, beside: str) -> None:
    source = write(tmp_path, IMAGES | {f"{beside}/7.png": png(7)})
    with pytest.raises(UserError, match=rf"1 of its images .* such as {beside}/7\.png.*one folder"):
        items_of(source)


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_threads_that_read_one_archive_get_the_members_they_ask_for(
    tmp_path: Path, form: str
) -> None:
    noise = np.random.default_rng(0).bytes(200_000)
    files = {f"cat/{number}.png": noise[number * 500 :] for number in range(300)}
    path = tmp_path / f"source.{form}"
    whole = zipped(path, files) if form == "zip" else tarred(path, files, f"w:{form[4:]}")
    reader = archives.archive_reader(whole)
    assert reader is not None
    leaves = reader(whole).leaves
    with ThreadPoolExecutor(8) as threads:
        contents = list(threads.map(lambda leaf: leaf.place.read(), leaves * 4))
    assert contents == [files[leaf.name] for leaf in leaves * 4]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no archive", "no readable"), (b"", "no readable"), (None, "no readable")],
)
@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
def test_a_broken_archive_is_one_line(
    tmp_path: Path, suffix: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    if content is None:
        noise = {"a/1.png": np.random.default_rng(0).bytes(9000)}
        whole = zipped(path, noise) if suffix == "zip" else tarred(path, noise, f"w:{suffix[4:]}")
        content = whole.read_bytes()[:700]
    path.write_bytes(content)
    if suffix == "tar" and content == b"":
        reason = "holds no images|no readable"
    with pytest.raises(UserError, match=reason):
        items_of(path)


def test_names_that_lead_out_and_bombs_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGEST", 5000)
    files = {"a/1.png": png(1), "b/2.png": png(2), "a/big.png": bytes(9000)}
    bad = {"../out.png": png(3), "/abs.png": png(3), "a/../../out.png": png(3)}
    for path in (zipped(tmp_path / "s.zip", files | bad),):
        listing = items_of(path)
        assert [item.source for item in listing.items] == ["a/1.png", "b/2.png"]
        reasons = {one.source: one.reason for one in listing.passed_over}
        assert "more than" in reasons.pop("a/big.png")
        assert set(reasons.values()) == {"its path leads out of the archive"}
        assert len(reasons) == 3
    assert not list(tmp_path.rglob("out.png"))


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "s.zip", {"a/1.png": png(1)})
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 8] |= 1  # the flag in the central directory
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a/1.png is encrypted"):
        items_of(path)


def test_links_in_a_tar_are_passed_over(tmp_path: Path) -> None:
    path = tarred(tmp_path / "s.tar", {"a/1.png": png(1), "b/1.png": png(2)}, "w:")
    with tarfile.open(path, "a:") as archive:
        link = tarfile.TarInfo("a/2.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    listing = items_of(path)
    assert [one.reason for one in listing.passed_over] == ["a link inside an archive"]


@pytest.mark.parametrize(
    "names", [("Training", "Testing"), ("TRAIN", "test"), ("train", "dev"), ("Train", "VALID")]
)
def test_splits_are_known_by_habit(tmp_path: Path, names: tuple[str, str]) -> None:
    write(tmp_path, {f"{name}/{one}/1.png": png(1) for name in names for one in ("cat", "dog")})
    assert {item.class_name for item in items_of(tmp_path).items} == {"cat", "dog"}
    assert len({item.split for item in items_of(tmp_path).items}) == 2


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["data/cat/1.png", "data/dog/1.png"], r"one folder alone, data/.*--source .*/data"),
        (
            [f"{a}/{b}/1.png" for a in ("images", "masks") for b in ("cat", "dog")],
            r"images/, masks/ all hold the same folders \(cat, dog\).*--source .*/images",
        ),
        (["1.png", "2.png"], "holds 2 images but no class folders"),
        (["train/cat/1.png", "train/dog/1.png", "test/1.png"], "/test: .*holds no class folders"),
        (["train/1.png", "test/1.png"], "/test: .*holds no class folders"),
        (["cat/1.png", "dog/notes.txt"], r"dog: this class folder holds no images \(dog/notes"),
        (["cat/1.png", "dog/1.heic"], "heic files cannot be decoded"),
        (["train/cat/1.png", "Training/cat/2.png"], "name the same split"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, files: list[str], reason: str) -> None:
    write(tmp_path, {name: png(number) for number, name in enumerate(files)})
    with pytest.raises(UserError, match=reason):
        items_of(tmp_path)


def test_two_normal_forms_are_one_class(tmp_path: Path) -> None:
    forms = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    write(tmp_path, {f"{form}/{k}.png": png(k) for k, form in enumerate(forms)})
    write(tmp_path, {"tea/3.png": png(3)})
    assert meaning(items_of(tmp_path)) == [
        ("café", None, 0), ("café", None, 1), ("tea", None, 3),
    ]  # fmt: skip


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    write(tmp_path, {"dog/1.png": png(1)})
    folder = os.fsencode(tmp_path) + b"/c\xe4t"
    os.mkdir(folder)  # noqa: PTH102  pathlib takes no bytes
    with open(folder + b"/2.png", "wb") as file:  # noqa: PTH123
        file.write(png(2))
    assert meaning(items_of(tmp_path)) == [("c\\xe4t", None, 2), ("dog", None, 1)]


def test_links_are_followed_but_not_round_and_round(tmp_path: Path) -> None:
    write(tmp_path / "store", {"more/2.png": png(2)})
    top = write(tmp_path / "source", {"cat/1.png": png(1), "dog/3.png": png(3)})
    (top / "cat/more").symlink_to(tmp_path / "store/more")
    (top / "cat/again").symlink_to(top)
    assert meaning(items_of(top)) == [("cat", None, 1), ("cat", None, 2), ("dog", None, 3)]


ROWS = [
    {"file_name": "b/1.png", "label": "cat", "split": "train", "group": "p1"},
    {"file_name": "b/2.png", "label": "dog", "split": "Testing", "group": ""},
    {"file_name": "3.png", "label": "", "split": "", "group": "p1"},
]


def table(top: Path, rows: list[dict[str, str]], name: str = "metadata.csv") -> Path:
    write(top, {"b/1.png": png(1), "b/2.png": png(2), "3.png": png(3), "4.png": png(4)})
    if name.endswith(".csv"):
        with (top / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), top / name)
    return top


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.parquet"])
def test_a_table(tmp_path: Path, name: str) -> None:
    listing = items_of(table(tmp_path, ROWS, name))
    assert meaning(listing) == [("cat", "train", 1), ("dog", "test", 2), ("", UNLABELLED, 3)]
    assert [item.group for item in listing.items] == ["p1", None, "p1"]
    assert [(one.source, one.reason) for one in listing.passed_over] == [
        ("4.png", f"{name} does not name it")
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"file_name": "gone.png"}, r"row 3: there is no file 'gone.png'"),
        ({"file_name": "../x.png"}, r"row 3: there is no file"),
        ({"file_name": "b/1.png"}, r"row 3: 'b/1.png' stands in two rows"),
        ({"split": "holdout"}, r"row 3: unknown split 'holdout'"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        items_of(table(tmp_path, [*ROWS[:2], ROWS[2] | change]))


def test_a_bad_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lacks the column label; it has file_name, kind"):
        items_of(table(tmp_path, [{"file_name": "3.png", "kind": "cat"}]))
    with pytest.raises(UserError, match="no row has a label"):
        items_of(table(tmp_path, [ROWS[2]]))
    (tmp_path / "metadata.csv").write_bytes(b"\xff\xfe\x00 no table")
    with pytest.raises(UserError, match="no readable table"):
        items_of(tmp_path)


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"pat(\d+)", ["1", "1", "2", None]),
        (r"(?P<group>pat\d+)_(\d)", ["pat1", "pat1", "pat2", None]),
        (r"pat\d+", ["pat1", "pat1", "pat2", None]),
    ],
)
def test_groups_by_a_pattern_on_the_path(
    tmp_path: Path, pattern: str, groups: list[str | None]
) -> None:
    names = ["cat/pat1_1.png", "cat/pat1_2.png", "dog/pat2_1.png", "dog/x.png"]
    write(tmp_path, {name: png(1) for name in names})
    assert [item.group for item in items_of(tmp_path, pattern).items] == groups


def test_a_tables_group_wins_over_the_pattern(tmp_path: Path) -> None:
    items = items_of(table(tmp_path, ROWS), r"b/(\d)").items
    assert [item.group for item in items] == ["p1", "2", "p1"]


def shard(path: Path, levels: list[int], labels: list[object], names: list[str] | None) -> Path:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([{"bytes": png(level), "path": None} for level in levels], struct)
    content = pa.table({"image": images, "label": pa.array(labels)})
    if names is not None:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        content = content.replace_schema_metadata({"huggingface": json.dumps(info)})
    pq.write_table(content, path, row_group_size=2)
    return path


def test_shards_as_hugging_face_writes_them(tmp_path: Path) -> None:
    for name, levels in (("train", [1, 2, 3]), ("test", [4, 5])):
        shard(tmp_path / f"{name}-00000-of-00001.parquet", levels, [0, 1, 0][: len(levels)],
              ["cat", "dog"])  # fmt: skip
    assert meaning(items_of(tmp_path)) == [
        ("cat", "test", 4), ("dog", "test", 5), ("cat", "train", 1), ("dog", "train", 2),
        ("cat", "train", 3),
    ]  # fmt: skip
    alone = shard(tmp_path / "all.parquet", [7, 8], ["a", "b"], None)
    assert meaning(items_of(alone)) == [("a", None, 7), ("b", None, 8)]


def test_a_shard_without_images_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"label": [1]}), path)
    with pytest.raises(UserError, match="no column `image`"):
        items_of(path)
    path.write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="no readable Parquet"):
        items_of(path)


def test_sets_of_torchvision_by_name(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 3), ("t10k", 2)):
        header = b"".join(number.to_bytes(4, "big") for number in (0x803, count, 28, 28))
        pixels = bytes(level for level in range(1, count + 1) for _ in range(784))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header + pixels)
        labels = (0x801).to_bytes(4, "big") + count.to_bytes(4, "big") + bytes(range(count))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    named = tmp_path / "mnist.yaml"
    named.write_text("torchvision: MNIST\nroot: .\n")
    found = meaning(items_of(named))
    assert [(split, level) for _, split, level in found] == [
        ("train", 1), ("train", 2), ("train", 3), ("test", 1), ("test", 2),
    ]  # fmt: skip
    shutil.rmtree(raw)
    with pytest.raises(UserError, match="no copy of MNIST"):
        items_of(named)
    named.write_text("torchvision: CIFAR10\nroot: .\n")
    with pytest.raises(UserError, match="never loaded"):
        items_of(named)

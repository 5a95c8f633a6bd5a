from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.contracts import kept as module
from tasks.contracts.kept import Kept, code_of

ONE, TWO, THREE = (character * 64 for character in "abc")


def writes(size: int, name: str = "file"):
    def write(folder: Path) -> None:
        (folder / name).write_bytes(b"x" * size)

    return write


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def last_used(home: Path, key: str, seconds: float) -> None:
    os.utime(home / key, (seconds, seconds))


def test_what_is_kept_is_found_by_another_and_elsewhere(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = Kept(Path("home"), 10_000)
    assert kept.find(ONE) is None
    assert not home.exists()
    kept.add(ONE, writes(10))
    monkeypatch.chdir("/")
    folder = kept.find(ONE)
    assert folder is not None
    assert folder == Kept(home, 10_000).find(ONE)
    assert (folder / "file").read_bytes() == b"x" * 10
    assert kept.find(TWO) is None


def test_it_is_written_once(home: Path) -> None:
    kept = Kept(home, 10_000)
    kept.add(ONE, writes(10))

    def again(folder: Path) -> None:
        raise AssertionError

    kept.add(ONE, again)


def test_what_fails_on_the_way_is_not_kept_and_leaves_nothing(home: Path) -> None:
    def fails(folder: Path) -> None:
        writes(10)(folder)
        raise KeyboardInterrupt

    kept = Kept(home, 10_000)
    with pytest.raises(KeyboardInterrupt):
        kept.add(ONE, fails)
    assert kept.find(ONE) is None
    assert list(home.iterdir()) == []


def test_a_full_disk_is_said(home: Path) -> None:
    def full(folder: Path) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        Kept(home, 10_000).add(ONE, full)


@pytest.mark.parametrize("damage", ["changed", "cut", "gone", "more", "no sums"])
def test_what_was_damaged_is_not_found_and_can_be_kept_anew(home: Path, damage: str) -> None:
    kept = Kept(home, 10_000)
    kept.add(ONE, writes(10, "inner.bin"))
    file = home / ONE / "inner.bin"
    if damage == "changed":
        file.write_bytes(b"y" * 10)
    elif damage == "cut":
        file.write_bytes(b"")
    elif damage == "gone":
        file.unlink()
    elif damage == "more":
        (home / ONE / "more").write_bytes(b"")
    else:
        next(path for path in (home / ONE).iterdir() if path != file).unlink()
    assert kept.find(ONE) is None
    kept.add(ONE, writes(20))
    folder = kept.find(ONE)
    assert folder is not None
    assert (folder / "file").stat().st_size == 20


def test_the_least_recently_used_goes_first(home: Path) -> None:
    kept = Kept(home, 3_000)
    kept.add(ONE, writes(1_000))
    kept.add(TWO, writes(1_000))
    last_used(home, ONE, 1.0)
    last_used(home, TWO, 2.0)
    assert kept.find(ONE) is not None  # used now
    kept.add(THREE, writes(1_500))
    assert kept.find(TWO) is None
    assert kept.find(ONE) is not None
    assert kept.find(THREE) is not None


def test_the_newest_stays_even_if_it_alone_is_too_much(home: Path) -> None:
    kept = Kept(home, 100)
    kept.add(ONE, writes(10))
    kept.add(TWO, writes(1_000))
    assert kept.find(ONE) is None
    assert kept.find(TWO) is not None


def test_nothing_else_in_the_folder_is_touched_but_what_the_killed_left(home: Path) -> None:
    own = home / "notes"
    own.mkdir(parents=True)
    (own / "text").write_bytes(b"x" * 5_000)
    left = [home / f"{module._WRITING}{name}" for name in ("old", "new")]
    for folder in left:
        folder.mkdir()
    os.utime(left[0], (0, 0))
    os.utime(own, (0, 0))
    Kept(home, 100).add(ONE, writes(10))
    assert (own / "text").is_file()
    assert [folder.exists() for folder in left] == [False, True]


def test_two_that_keep_the_same_at_once_both_go_on(home: Path) -> None:
    kept, other = Kept(home, 10_000), Kept(home, 10_000)

    def write(folder: Path) -> None:
        other.add(ONE, writes(10))
        writes(10)(folder)

    kept.add(ONE, write)
    assert kept.find(ONE) is not None
    assert [path.name for path in home.iterdir()] == [ONE]


def test_code_is_that_of_the_stage_alone() -> None:
    code = code_of("retrain")
    root = Path(module.__file__).parents[2]
    for name in ("tasks/retrain.py", "tasks/classifier/training.py"):
        assert (root / name).read_bytes() in code
    assert (root / "tasks/train_gan.py").read_bytes() not in code
    assert code == code_of("retrain")

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.contracts.errors import UserError
from tasks.contracts.ground import owned, refuse_own_ground

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one photo in the place of an output, and one beside all of them."""
    root = tmp_path / "project"
    for folder in ("data/real/train/cat", "data/raw/pets/cat", ".dvc"):
        (root / folder).mkdir(parents=True)
        (root / folder / "photo.png").write_bytes(b"photo")
    (root / "dvc.yaml").write_text((REPOSITORY / "dvc.yaml").read_text())
    monkeypatch.chdir(root)
    return root


@pytest.mark.parametrize(
    ("spelling", "word"),
    [
        ("data/real/train", "is"),
        ("data/real", "holds"),
        ("data", "holds"),
        (".", "holds"),
        ("..", "holds"),
        ("/", "holds"),
        ("data/real/train/cat", "lies in"),
        ("data/real/train/", "is"),
        ("./data//real/./train", "is"),
        ("data/raw/../real/train", "is"),
        ("data/real/unlabelled", "is"),
        ("data/real/new", None),
        ("data/merged/anything/below", "lies in"),
        ("models/gan/0", "lies in"),
        ("reports", "holds"),
        (".ganlift/aside", "lies in"),
        (".dvc/cache", "lies in"),
        ("mlflow", "is"),
        ("data/raw", None),
        ("data/raw/pets", None),
        ("data/real/training", None),
    ],
)
def test_every_spelling_of_own_ground_is_refused(
    root: Path, spelling: str, word: str | None
) -> None:
    for source in (Path(spelling), root / spelling):
        if word is None:
            refuse_own_ground(source, root)
            continue
        with pytest.raises(UserError, match=f"it {word} .*which the pipeline writes itself"):
            refuse_own_ground(source, root)


def test_links_in_either_direction_are_seen_through(root: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").symlink_to(root / "data/real/train")
    with pytest.raises(UserError, match=r"it is data/real/train"):
        refuse_own_ground(tmp_path / "photos", root)
    elsewhere = tmp_path / "big-disk"
    elsewhere.mkdir()
    (root / "models").symlink_to(elsewhere)  # outputs on another disk
    with pytest.raises(UserError, match=r"it lies in models/gan"):
        refuse_own_ground(elsewhere / "gan" / "0", root)


def test_another_name_of_the_same_folder_is_seen_by_its_inode(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = Path.samefile
    alias = root / "DATA" / "Real" / "Train"  # as a disk that ignores case would have it
    alias.mkdir(parents=True)

    def ignoring_case(one: Path, other: Path) -> bool:
        return str(one).lower() == str(other).lower() or same(one, other)

    monkeypatch.setattr(Path, "samefile", ignoring_case)
    with pytest.raises(UserError, match="which the pipeline writes itself"):
        refuse_own_ground(alias, root)


def test_a_cache_elsewhere_is_own_ground_too(root: Path, tmp_path: Path) -> None:
    (root / ".dvc/config.local").write_text(f"[cache]\n    dir = {tmp_path / 'cache'}\n")
    with pytest.raises(UserError, match="which the pipeline writes itself"):
        refuse_own_ground(tmp_path / "cache" / "files", root)


def test_all_outputs_of_the_line_are_owned() -> None:
    names = {os.path.relpath(path, REPOSITORY) for path in owned(REPOSITORY)}
    assert {"data/real/test", "models/gan", "reports/lift.html", ".ganlift", ".dvc"} <= names

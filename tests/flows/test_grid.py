from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.grid import Frame, draw_checkpoint
from tasks.contracts.errors import UserError
from tasks.gan.board import GAP
from tasks.gan.checkpoint import save_checkpoint
from tasks.gan.model import build_gan
from tests.contracts.tiny import shape_set, tiny_params
from tests.flows.command_line import command


@pytest.fixture(scope="module")
def gans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """GANs 0 (plain) and 3 (with styles), untrained, as under models/gan."""
    folder = tmp_path_factory.mktemp("models")
    train = shape_set(3)
    for seed, network in ((0, "conv"), (3, "stylegan")):
        params = tiny_params(train_gan={"network": network}).train_gan
        gan = build_gan(train, params, seed)
        save_checkpoint(folder / str(seed), gan, train.class_names, params, seed)
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    monkeypatch.chdir(tmp_path)  # no project is needed


@pytest.mark.parametrize(
    ("kind", "rows", "columns"),
    [("classes", 3, 8), ("interpolation", 3, 8), ("truncation", 3, 5), ("style-mixing", 12, 8)],
)
def test_each_kind_becomes_a_png(gans: Path, kind: str, rows: int, columns: int) -> None:
    path = draw_checkpoint(gans / "3", None, Frame(kind, scale=2))
    assert path == Path(f"{kind}.png")
    with Image.open(path) as picture:
        names = picture.width - columns * (16 + GAP)
        assert GAP < names < 100  # room for the names of the classes
        assert picture.height == rows * (16 + GAP) + GAP
        assert picture.format == "PNG"


def test_the_seed_chooses_below_a_folder_of_several(gans: Path) -> None:
    below = draw_checkpoint(gans, 3, Frame(out=Path("below.png")))
    itself = draw_checkpoint(gans / "3", None, Frame(out=Path("itself.png")))
    other = draw_checkpoint(gans, 0, Frame(out=Path("other.png")))
    assert below.read_bytes() == itself.read_bytes() != other.read_bytes()


def test_nothing_is_written_over_unless_forced(gans: Path) -> None:
    kept = Path("mine.png")
    kept.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"mine\.png: is already there\. .*--force"):
        draw_checkpoint(gans / "0", None, Frame(out=kept))
    assert kept.read_bytes() == b"mine"
    draw_checkpoint(gans / "0", None, Frame(out=kept, force=True))
    with Image.open(kept) as picture:
        assert np.asarray(picture).std() > 0


@pytest.mark.parametrize(
    ("below", "seed", "frame", "said"),
    [
        ("0", None, Frame("style-mixing"), "does not offer it. Choose one of classes"),
        ("0", None, Frame("truncated"), "unknown kind. The nearest is truncation"),
        ("0", 3, Frame(), "is one checkpoint. Leave --seed out"),
        ("", None, Frame(), "holds the GANs 0, 3. Choose: --seed 0"),
        ("", 1, Frame(), "--seed 1: .* holds the GANs 0, 3"),
        ("9", None, Frame(), "no such folder"),
        ("empty", None, Frame(), "holds no checkpoint"),
        ("broken", None, Frame(), "config.json"),
        ("0", None, Frame(out=Path("a.jpg")), "Name it a.png"),
        ("0", None, Frame(out=Path("no/a.png")), "no folder no"),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing(
    below: str, seed: int | None, frame: Frame, said: str, gans: Path, tmp_path: Path
) -> None:
    folder = gans / below
    if below in ("empty", "broken"):
        folder = tmp_path / below
        folder.mkdir()
        if below == "broken":
            (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match=said):
        draw_checkpoint(folder, seed, frame)
    assert not list(tmp_path.glob("*.png"))


def test_the_command_prints_where_the_picture_is(
    gans: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(gans), "--seed", "0", "--kind", "truncation", "--out", "a.png", "--scale", "3"]
    for status in (0, 1):  # the second time the file is in the way
        assert command(monkeypatch, "grid", *given) == status
    shown = capsys.readouterr()
    assert shown.out == "a.png\n"
    assert shown.err.startswith("error: --out a.png: is already there.")
    with Image.open("a.png") as picture:
        assert picture.height == 3 * (24 + GAP) + GAP


def test_after_a_cross_validation_a_folds_gan_is_named() -> None:
    Path("folds").mkdir()
    Path("folds/dvc.yaml").touch()
    with pytest.raises(UserError, match="such as folds/1/models/gan"):
        draw_checkpoint(Path("models/gan"), None, Frame())

"""`ganlift translate`: images of the other domain, turned by a run's translators."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.translate import TABLE, Order, translate_folder
from tasks.contracts.errors import UserError
from tasks.gan.checkpoint import load_generator, save_checkpoint
from tasks.gan.model import build_gan
from tasks.gan.sampling import translate
from tests.contracts.tiny import shape_set, tiny_params
from tests.flows.command_line import command

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two translators, untrained, and beside them a plain GAN."""
    folder = tmp_path_factory.mktemp("models")
    train, others = shape_set(3), shape_set(4, seed=1)
    for place, seed, network in (
        ("gan", 0, "translator"),
        ("gan", 2, "translator"),
        ("c", 0, "conv"),
    ):
        params = tiny_params(train_gan={"network": network}).train_gan
        turned = others if network == "translator" else None
        gan = build_gan(train, params, seed, turned)
        save_checkpoint(folder / place / str(seed), gan, train.class_names, params, seed, turned)
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with these translators, and scans at two depths, one of them broken."""
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(trained / "gan", tmp_path / "models" / "gan")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "scans" / "deeper [red]").mkdir(parents=True)
    for name in ("a.png", "a.bmp", "deeper [red]/b.png"):
        pixels = rng.integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "scans" / name)
    (tmp_path / "scans" / "broken.png").write_bytes(b"no image")
    return tmp_path


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / TABLE).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_image_is_turned_and_the_gans_take_turns(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "translate", "scans", "out", "--looks", "3") == 0
    said = capsys.readouterr().out
    assert "skipped broken.png: unreadable" in said
    assert "9 images made of 3: " in said
    out = project / "out"
    rows = rows_of(out)
    assert {row["file"] for row in rows} == {
        path.relative_to(out).as_posix() for path in out.rglob("*.png")
    }
    assert sorted((row["source"], row["gan_seed"], row["file"][-6:]) for row in rows) == [
        (source, gan_seed, f"-{number}.png")
        for source in ("a.bmp", "a.png", "deeper [red]/b.png")
        for gan_seed, number in (("0", 1), ("0", 3), ("2", 2))
    ]
    shown = [np.asarray(Image.open(out / row["file"])).tobytes() for row in rows]
    assert len(set(shown)) == 9


def test_an_image_is_what_its_translator_makes_of_it_whatever_stands_beside(
    project: Path,
) -> None:
    translate_folder(Order(project / "scans", project / "all", 1, 2))
    (project / "alone").mkdir()
    shutil.copy(project / "scans/a.png", project / "alone/a.png")
    translate_folder(Order(project / "alone", project / "one", 1, 2))
    assert {row["gan_seed"] for row in rows_of(project / "all")} == {"2"}
    name = "a.png-1.png"
    assert (project / "all" / name).read_bytes() == (project / "one" / name).read_bytes()
    generator = load_generator(project / "models/gan/2")
    content = np.asarray(Image.open(project / "scans/a.png"))[None, :, :, None]
    looks = translate(generator, np.repeat(content, 40, axis=0), np.arange(40))
    alone = translate(generator, content, np.array([39]))
    assert np.array_equal(looks[39], alone[0])
    assert len({look.tobytes() for look in looks}) == 40


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (Order(Path("nowhere"), Path("out"), 1, None), "nowhere: no such folder"),
        (Order(Path("models"), Path("out"), 1, None), "models: holds no images"),
        (Order(Path("scans"), Path("scans"), 1, None), "scans: lies in scans"),
        (Order(Path("scans"), Path("models"), 1, None), "models: is not empty"),
        (Order(Path("scans"), Path("scans/new"), 1, None), "scans/new: lies in scans, and would"),
        (Order(Path("scans"), Path("models/gan/new"), 1, None), "where nothing is exported to"),
        (Order(Path("scans"), Path("out"), 1, 5), "--seed 5: models/gan holds the GANs 0, 2"),
    ],
)
def test_what_cannot_be_done_is_one_line(project: Path, order: Order, words: str) -> None:
    with pytest.raises(UserError, match=words):
        translate_folder(order)
    assert not (project / "out").exists()


def test_a_gan_that_turns_nothing_is_named(project: Path, trained: Path) -> None:
    shutil.rmtree("models/gan")
    with pytest.raises(UserError, match="models/gan: no such folder"):
        translate_folder(Order(Path("scans"), Path("out"), 1, None))
    shutil.copytree(trained / "c", "models/gan")
    with pytest.raises(
        UserError, match=r"gan/0: turns no images: its network is conv.*other_domain"
    ):
        translate_folder(Order(Path("scans"), Path("out"), 1, None))


def test_names_may_be_as_long_as_a_file_system_allows(project: Path) -> None:
    Path("long").mkdir()
    longest = "é" * 125 + "1.png"
    for name in (longest, longest.replace("1", "2")):
        shutil.copy("scans/a.png", Path("long") / name)
    translate_folder(Order(Path("long"), Path("out"), 2, 0))
    rows = rows_of(project / "out")
    assert sorted(row["source"] for row in rows) == sorted([longest, longest.replace("1", "2")] * 2)
    assert len({row["file"] for row in rows}) == 4
    assert all((project / "out" / row["file"]).is_file() for row in rows)


def test_a_folder_of_which_nothing_can_be_read_leaves_nothing(project: Path) -> None:
    Path("bad").mkdir()
    Path("bad/one.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="none of its 1 images could be read"):
        translate_folder(Order(Path("bad"), Path("out"), 1, None))
    assert not [path for path in project.iterdir() if "out" in path.name]


def test_images_have_the_size_that_the_translators_were_trained_at(project: Path) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    other = text.replace("image_size: 8", "image_size: 32")
    assert other != text
    Path("params.yaml").write_text(other, encoding="utf-8")
    translate_folder(Order(Path("scans"), Path("out"), 1, 0))
    with Image.open("out/a.png-1.png") as image:
        assert (image.size, image.mode) == ((8, 8), "L")

"""The tasks of the bench of lifts: what is trained on is never tested on."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets import ROOT
from bench.lift import Task, lay_out, main, over_a_photograph, project_of, table
from tasks.contracts.errors import UserError
from tests.answer.fake_report import fake_lift

TASK = Task("set", train=2, times=3, val=2, unlabelled=2, other_domain=3, other_look="negative")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes of 30 training images and 4 test images, each of one grey value of its own."""
    value = 0
    for part, count in (("train", 30), ("test", 4)):
        for name in ("cat", "dog"):
            folder = tmp_path / "set" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.new("L", (2, 2), value).save(folder / f"{number:02}.png")
                value += 1
    return tmp_path


def values(folder: Path) -> set[int]:
    return {int(np.asarray(Image.open(file))[0, 0]) for file in folder.rglob("*.png")}


@pytest.mark.parametrize("final", [False, True])
def test_no_image_stands_in_two_parts(final: bool, images: Path, tmp_path: Path) -> None:
    lay_out(TASK, images, tmp_path / "out", 0, final=final)
    parts = {place.name: values(place) for place in (tmp_path / "out").iterdir()}
    parts["other_domain"] = {255 - value for value in parts["other_domain"]}  # they are negatives
    counts = {"train": 18, "val": 4, "unlabelled": 4, "other_domain": 6, "test": 8 if final else 14}
    assert {name: len(of) for name, of in parts.items()} == counts
    assert len(set.union(*parts.values())) == sum(counts.values())
    assert (parts["test"] == values(images / "set" / "test")) == final


def test_a_rare_class_has_as_many_images_to_train_on_as_is_said(
    images: Path, tmp_path: Path
) -> None:
    lay_out(replace(TASK, rare={"dog": 1}), images, tmp_path / "out", 0, final=False)
    counts = {place: len(values(tmp_path / "out" / "train" / place)) for place in ("cat", "dog")}
    assert counts == {"cat": 9, "dog": 1}
    assert len(values(tmp_path / "out" / "val" / "dog")) == 2


def test_a_related_class_is_not_asked_about(images: Path, tmp_path: Path) -> None:
    task = replace(TASK, related=("dog",), related_images=5)
    lay_out(task, images, tmp_path / "out", 0, final=True)
    folders = {place.name: sorted(own.name for own in place.iterdir() if own.is_dir())
               for place in (tmp_path / "out").iterdir()}  # fmt: skip
    assert folders.pop("related") == ["dog"]
    assert folders.pop("unlabelled") == []
    assert set(map(tuple, folders.values())) == {("cat",)}
    assert len(values(tmp_path / "out/related/dog")) == 5


def test_own_images_have_their_look_wherever_they_stand(images: Path, tmp_path: Path) -> None:
    task = replace(TASK, look="negative", other_look="as it is")
    for folder, of in (("own", TASK), ("looked", task)):
        lay_out(of, images, tmp_path / folder, 0, final=True)
    for part in ("train", "val", "test", "unlabelled", "other_domain"):
        own, looked = (values(tmp_path / folder / part) for folder in ("own", "looked"))
        assert looked == {255 - value for value in own}


def test_grounds_of_test_images_are_photographs_of_their_own(images: Path, tmp_path: Path) -> None:
    """A ground that was seen in training would tell nothing of others."""
    for part, value in (("train", 200), ("test", 100)):
        (images / "cifar10-jpg" / part / "any").mkdir(parents=True)
        Image.new("RGB", (4, 4), (value,) * 3).save(images / f"cifar10-jpg/{part}/any/1.jpg")
    task = replace(TASK, look="over a photograph", other_look="as it is", unlabelled=0)
    lay_out(task, images, tmp_path / "out", 0, final=True)
    for part, ground in (("train", 200), ("test", 100)):
        for folder in ("cat", "dog"):
            for file in (tmp_path / "out" / part / folder).iterdir():
                with Image.open(images / "set" / part / folder / f"{file.stem[4:]}.png") as digit:
                    expected = abs(ground - digit.getpixel((0, 0)))
                with Image.open(file) as image:
                    assert image.getpixel((0, 0)) == (expected,) * 3
    with pytest.raises(UserError, match="no photographs"):
        over_a_photograph(Image.new("L", (2, 2)), 0, tmp_path / "nowhere")


def test_draws_differ_and_come_again(images: Path, tmp_path: Path) -> None:
    found = []
    for number, draw in enumerate((0, 1, 0)):
        lay_out(TASK, images, tmp_path / str(number), draw, final=False)
        found.append(values(tmp_path / str(number) / "train"))
    assert found[0] == found[2] != found[1]


def test_a_set_that_is_too_small_is_named(images: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cat: has 30 images, too few\. 122 are needed"):
        lay_out(Task("set", train=30), images, tmp_path / "out", 0, final=False)
    with pytest.raises(UserError, match="--images"):
        lay_out(TASK, tmp_path / "nowhere", tmp_path / "out", 0, final=False)


def test_the_table_has_every_arm() -> None:
    found = fake_lift(gans=2)
    head, _, line = table({"mine": found}).splitlines()
    assert all(f"| {arm} |" in head for arm in ("real", "real+filtered"))
    assert f"{found.lift_pp.mean:+.1f} [{found.lift_pp.ci_low:+.1f}" in line


def test_projects_stand_where_ganlift_makes_some() -> None:
    """It makes none inside another project, as the folder of this repository is."""
    scratch = inspect.signature(main).parameters["scratch"].default
    project = project_of("mnist-5", scratch, 0, final=False, own=["ingest.image_size=8"])
    assert not project.is_relative_to(ROOT)
    assert project.parts[: len(ROOT.parent.parts)] == ROOT.parent.parts

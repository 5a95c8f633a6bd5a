"""Confusions, and the test images on which the arms differ."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tasks.answer import drawing
from tasks.answer.mistakes import (
    Answers,
    Flip,
    Mistakes,
    confusion,
    draw_confusion,
    draw_flips,
    mistakes,
)
from tests.lift.fake_inputs import fake_merged

NAMES = ("cat", "dog", "<eel>")


@pytest.fixture
def answers():
    labels = np.array([0, 0, 1, 1, 2, 2])
    before = np.array([[1, 0, 1, 1, 2, 2], [1, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2]])
    after = np.array([[0, 0, 1, 1, 2, 0], [0, 0, 1, 1, 2, 0], [0, 0, 1, 1, 2, 0]])
    return Answers(tuple("abcdef"), labels, before, after)


def test_rows_of_a_confusion_are_shares_of_a_class(answers):
    shares = confusion(answers.labels, answers.baseline, 3)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert shares[0] == pytest.approx([4 / 6, 2 / 6, 0])


def test_images_flip_by_the_majority_of_runs(answers):
    test = fake_merged(NAMES, [2, 2, 2], gans=0, size=8)
    test.manifest["image_id"] = list(answers.image_ids)
    found = mistakes(answers, test, NAMES)
    assert (found.mended_count, found.broken_count) == (1, 1)
    (mended,), (broken,) = found.mended, found.broken
    assert (mended.true, mended.baseline, mended.treatment) == ("cat", "dog", "cat")
    assert (broken.true, broken.baseline, broken.treatment) == ("<eel>", "<eel>", "cat")
    worst = found.confusions[0]
    assert (worst.true, worst.taken_for, worst.treatment) == ("<eel>", "cat", 0.5)
    assert len(found.confusions) == 2


def test_the_same_answers_give_the_same_picture(answers, tmp_path):
    for name in ("a.png", "b.png"):
        draw_confusion(answers, NAMES, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_picture_of_flips_says_how_many_there_are_and_what_stands_below_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = BytesIO()
    Image.new("L", (8, 8)).save(stream, format="PNG")
    png, drawn = b64encode(stream.getvalue()).decode(), list[Figure]()

    @contextmanager
    def kept(path: Path, width: float, height: float) -> Iterator[Figure]:
        with drawing.picture(path, width, height) as figure:
            drawn.append(figure)
            yield figure

    monkeypatch.setattr("tasks.answer.mistakes.picture", kept)
    flips = tuple(Flip(png, "cup", "fork", "cup") for _ in range(9))
    found = Mistakes((), flips[:1], flips, mended_count=1, broken_count=9)
    draw_flips(found, ("cup", "fork"), tmp_path / "flips.png")
    first, second = drawn[0].subfigs
    how = ": the true class, and below it baseline → treatment"
    assert first.get_suptitle() == f"The treatment mends 1 test image{how}"
    assert second.get_suptitle() == (
        f"The treatment breaks 9 test images, the clearest 8 shown{how}"
    )
    assert first.axes[0].get_title() == "cup\nfork → cup"
    assert (tmp_path / "flips.png").stat().st_size

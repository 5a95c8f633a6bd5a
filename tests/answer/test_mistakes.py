"""Confusions, and the test images on which the arms differ."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.answer.mistakes import Answers, confusion, draw_confusion, mistakes
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

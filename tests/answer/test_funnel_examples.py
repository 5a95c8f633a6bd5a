from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tasks.answer.funnel import TELLING, funnel
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import image_id
from tests.answer.fake_report import fake_pool, rules_of


def shown(example):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(example.png))))


def test_every_example_fell_to_its_rule():
    pool, scores = fake_pool(["a", "b", "c"])
    steps = funnel(rules_of(scores), pool, scores, 0)
    rows = scores.set_index("image_id")
    for step in steps:
        expected = scores["reason"].eq(step.rule).sum() if step.rule != "pool" else len(pool)
        assert len(step.examples) == min(8, expected)
        for example in step.examples:
            row = rows.loc[image_id(shown(example)[..., None])]
            assert row["reason"] == step.rule or step.rule == "pool"
            assert row["class_name"] == example.class_name
            score = TELLING.get(step.rule)
            assert example.score == (row[score] if score else None)


def test_examples_are_drawn_by_seed():
    pool, scores = fake_pool(["a", "b", "c"])
    first, again, other = (funnel(rules_of(scores), pool, scores, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_large_images_are_shrunk():
    pool, scores = fake_pool(["a"], size=256, per_class=16)
    sides = {
        shown(example).shape
        for step in funnel(rules_of(scores), pool, scores, 0)
        for example in step.examples
    }
    assert sides == {(96, 96)}


def test_scores_of_another_pool_are_refused():
    pool, scores = fake_pool(["a", "b"])
    with pytest.raises(UserError, match="not those of the images in the pool"):
        funnel(rules_of(scores), pool, scores[::-1], 0)
    with pytest.raises(UserError):
        funnel(rules_of(scores), pool, scores[:-1], 0)

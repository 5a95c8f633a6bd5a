"""``lift.json``: one model, its file and its published schema."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tasks.contracts.errors import UserError
from tasks.lift.result import LiftResult, schema_text
from tests.answer.fake_report import altered, fake_lift

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "reports" / "lift.json"


def test_the_committed_result_comes_back_byte_for_byte():
    assert LiftResult.load(COMMITTED).dumps() == COMMITTED.read_text(encoding="utf-8")


def test_a_metric_of_one_class_stands_before_the_calibration_error():
    content = json.loads(fake_lift(metric="recall:cat").dumps())
    assert list(content["arms"]["real"])[-3:] == ["ece", "val", "shown"]
    assert "recall:cat" in content["arms"]["real"]
    assert json.loads(LiftResult.model_validate(content).dumps()) == content


def test_the_published_schema_is_up_to_date():
    published = (ROOT / "docs" / "lift.schema.json").read_text(encoding="utf-8")
    assert published == schema_text(), "write it with `python -m tasks.lift.result`"
    schema = json.loads(published)
    content = json.loads(COMMITTED.read_text(encoding="utf-8"))
    assert set(schema["properties"]) == set(content)
    assert set(schema["required"]) <= set(content)


def test_numbers_are_rounded_as_they_enter():
    lift = altered(fake_lift(), lift_pp={"mean": 1.23456789}, mde_pp=0.1 + 0.2)
    assert (lift.lift_pp.mean, lift.mde_pp) == (1.234568, 0.3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"schema": "ganlift/lift/1"}', "no result of schema ganlift/lift/5 (schema: "),
        ("{}", "no result of schema ganlift/lift/5 (verdict: "),
        ("[1", "(the file: Invalid JSON"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_result_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "lift.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        LiftResult.load(path)
    assert "\n" not in str(caught.value)

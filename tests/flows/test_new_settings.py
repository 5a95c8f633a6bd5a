from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from flows.new_settings import added, complete
from flows.presets import leaves
from tasks.contracts.params.line import load_params

TEXT = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")
KEYS = [key for key, _ in leaves(yaml.safe_load(TEXT), "")]


def _without(*names: str) -> str:
    """The text without the lines of these keys, which are told by their last name."""
    lines = TEXT.splitlines(keepends=True)
    return "".join(line for line in lines if line.strip().partition(":")[0] not in names)


@pytest.mark.parametrize(
    "names",
    [
        ("max_rollbacks",),  # the first of a section within one
        ("mode_seeking", "feature_matching"),  # the last ones of another
        ("resamples",),  # the last of the file
        ("penalties", *yaml.safe_load(TEXT)["train_gan"]["penalties"]),  # a whole inner section
        ("source", "image_size", "channels"),
    ],
)
def test_settings_come_back_where_they_stood_and_as_they_stood(names: tuple[str, ...]) -> None:
    assert added(_without(*names), TEXT, KEYS) == TEXT


def test_a_whole_new_section_comes_in_its_place() -> None:
    first, last = TEXT.index("generate:"), TEXT.index("quality_filter:")
    after = added(TEXT[:first] + TEXT[last:], TEXT, KEYS)
    assert after == TEXT


def test_other_indents_line_ends_and_forms_are_kept() -> None:
    deep = "ingest:\r\n    # mine\r\n    a: 1\r\n    c: [3] # c\r\n    inner: {x: 1 } # x"
    shipped = "ingest:\n  a: 1\n  b:\n  - 2 # b\n  c: [3]\n  inner:\n    x: 1\n    y: 2\n"
    after = added(deep, shipped, ["ingest.b", "ingest.inner.y"])
    assert after == (
        "ingest:\r\n    # mine\r\n    a: 1\r\n    b:\r\n    - 2 # b\r\n    c: [3] # c\r\n"
        "    inner: {x: 1, y: 2 } # x"
    )


def test_what_a_person_took_out_is_not_put_back(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(_without("max_logit", "frames"))
    (said,) = complete(path, TEXT, [key for key in KEYS if key != "ingest.frames"])
    assert path.read_text() == _without("max_logit")
    assert "ingest.frames" in said
    assert "max_logit" not in said


def test_settings_that_are_gone_are_named_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    old = TEXT.replace("  loss: rel", "  older: 1\n  old: 2\n  loss: rel")
    path.write_text(old)
    (said,) = complete(path, TEXT, None)
    assert "no train_gan.older, train_gan.old any more. Remove these settings" in said
    assert path.read_text() == old
    (said,) = complete(path, TEXT, [*KEYS, "train_gan.old"])  # the other is a slip of the pen
    assert "no train_gan.old any more" in said


def test_a_file_that_lacks_nothing_costs_no_look_at_what_is_shipped(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    assert complete(path, "not even: [yaml", None) == []
    assert load_params(path).seed == 0

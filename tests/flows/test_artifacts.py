"""What Prefect's page shows of a stage beside its state."""

from __future__ import annotations

import base64
import json
import os
import re
import string
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.artifacts import SAMPLES, Outcome, escaped, markdown
from flows.folds import FILE
from tasks.adapters.timeline import LOCAL_PAGES, ResultRun
from tasks.contracts.errors import UserError
from tests.answer.fake_report import fake_lift
from tests.flows.asked import ask, latest, progress
from tests.flows.test_history import START

FOUND = [
    {"passed": True, "severity": "stop", "split": "train", "observed": "12 images found"},
    {"passed": False, "severity": "warn", "split": "val", "observed": "3 images found"},
    {"passed": False, "severity": "stop", "split": "test", "observed": "0 of <b>cups</b>"},
]


def _shown(url: str, key: str) -> list[dict[str, Any]]:
    found = ask(f"{url}/artifacts/filter", artifacts={"key": {"any_": [key]}})
    assert isinstance(found, list)
    return found


@pytest.fixture
def in_a_run(prefect_url: str) -> Callable[[Callable[[], None]], None]:
    """Do something in a run of Prefect, to which what it shows then belongs."""

    def do(action: Callable[[], None]) -> None:
        with temporary_settings({PREFECT_API_URL: prefect_url}):
            flow(action, name="a run", validate_parameters=False)()

    return do


def test_the_gates_table_begins_with_what_closes_it(
    tmp_path: Path, prefect_url: str, in_a_run: Callable[[Callable[[], None]], None]
) -> None:
    path = tmp_path / "folds" / "2" / "reports" / "validation.json"
    path.parent.mkdir(parents=True)
    content = json.dumps({"expectations": [{**one, "explanation": "enough"} for one in FOUND]})
    path.write_text(content, encoding="utf-8")
    os.utime(path, (1, 1))

    def look() -> None:
        outcome = Outcome(f"{FILE}:validate@2", tmp_path)
        outcome.show()
        assert _shown(prefect_url, "fold-2-expectations") == [], "it tells of a run before"
        path.write_text(content, encoding="utf-8")
        outcome.show()
        Outcome("validate", tmp_path).show()  # which has written nothing

    in_a_run(look)
    (table,) = _shown(prefect_url, "fold-2-expectations")
    rows = json.loads(table["data"])
    assert [row["outcome"] for row in rows] == ["stop", "warn", "passed"]
    assert rows[0]["found"] == "0 of \\<b\\>cups\\<\\/b\\>"
    assert _shown(prefect_url, "expectations") == []


def test_the_funnel_has_a_row_for_each_rule(
    tmp_path: Path, prefect_url: str, in_a_run: Callable[[Callable[[], None]], None]
) -> None:
    (tmp_path / "reports").mkdir()
    rule = {"rule": "copy", "rejected": 6, "left": 94, "coverage": 0.9, "recall": None}

    def look() -> None:
        outcome = Outcome("quality_filter", tmp_path)
        written = {"rules": [{**rule, "precision": 0.8}], "pool": 100}
        (tmp_path / "reports" / "filter.json").write_text(json.dumps(written), encoding="utf-8")
        outcome.show()

    in_a_run(look)
    (table,) = _shown(prefect_url, "filter-funnel")
    assert json.loads(table["data"]) == [{**rule, "precision": 0.8}]


def test_what_prefect_does_not_take_fails_no_stage_and_hides_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise RuntimeError("no server answers")

    for name in ("create_table_artifact", "create_markdown_artifact"):
        monkeypatch.setattr(f"flows.artifacts.{name}", away)
    monkeypatch.setattr("flows.artifacts.SECONDS_BETWEEN_SAMPLES", 0.0)
    gate, training = Outcome("validate", tmp_path), Outcome("train_gan", tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "validation.json").write_text('{"expectations": []}')
    gate.show()
    training.look()  # before there is a strip
    (tmp_path / SAMPLES).parent.mkdir()
    (tmp_path / SAMPLES).write_bytes(b"strip")
    training.look()
    training.show()


def test_the_strip_that_is_shown_is_the_one_that_training_draws() -> None:
    from tasks import train_gan

    assert SAMPLES == train_gan._SAMPLES


def test_the_newest_samples_are_one_picture_that_changes(
    tmp_path: Path,
    prefect_url: str,
    monkeypatch: pytest.MonkeyPatch,
    in_a_run: Callable[[Callable[[], None]], None],
) -> None:
    monkeypatch.setattr("flows.artifacts.SECONDS_BETWEEN_SAMPLES", 0.0)
    strip = tmp_path / SAMPLES
    strip.parent.mkdir()
    strip.write_bytes(b"of a run before")
    os.utime(strip, (1, 1))

    def look() -> None:
        outcome = Outcome("train_gan", tmp_path)
        outcome.look()
        assert _shown(prefect_url, "samples") == []
        for number in (1, 2):
            strip.write_bytes(b"strip %d" % number)
            outcome.look()
            (picture,) = _shown(prefect_url, "samples")
            content = base64.b64encode(b"strip %d" % number).decode()
            assert f"(data:image/png;base64,{content})" in picture["data"]

    in_a_run(look)


@pytest.mark.parametrize(
    ("order", "share", "said"),
    [("second", 100.0, "merge"), ("fail merge", 50.0, "merge: ended early, at 50%")],
)
def test_a_progress_bar_on_prefects_page_ends(
    order: str,
    share: float,
    said: str,
    line: Path,
    prefect_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.pipeline import pipeline

    monkeypatch.setattr("flows.artifacts.SECONDS_BETWEEN_ARTIFACTS", 0.0)
    (line / "orders" / "merge").write_text(order)
    with suppress(UserError):
        pipeline("merge", "merge")
    (bar,) = progress(prefect_url, latest(prefect_url)["id"])
    assert (bar["data"], bar["description"]) == (share, said)


@pytest.mark.usefixtures("line")
def test_each_run_tells_prefect_how_it_ended_and_the_verdict(prefect_url: str) -> None:
    from flows.pipeline import pipeline

    pipeline("report")
    flow_run = latest(prefect_url)
    (verdict,) = ask(
        f"{prefect_url}/artifacts/latest/filter", artifacts={"key": {"any_": ["verdict"]}}
    )
    assert flow_run["state_name"] == "Completed"
    assert flow_run["name"] == "orders · helps +1.2 points"
    assert "# helps" in verdict["data"]
    assert escaped("+1.2 points [+0.4, +2.0] (95 % confidence interval)") in verdict["data"]


def test_the_answer_on_prefects_page_leads_to_its_run_in_mlflow() -> None:
    result = fake_lift(mean=1.2, half=0.8)
    run = ResultRun("a" * 32, START, f"{LOCAL_PAGES}/#/experiments/1/runs/{'a' * 32}")
    told = markdown(result, run=run)
    assert f"[run aaaaaaaa]({run.page}), while `ganlift ui` serves it." in told
    elsewhere = ResultRun("a" * 32, START, f"https://mlflow.here/#/experiments/1/runs/{'a' * 32}")
    assert f"[run aaaaaaaa]({elsewhere.page})." in markdown(result, run=elsewhere)
    assert "MLflow" not in markdown(result)


@pytest.mark.parametrize(
    "text", ["<img src=x>", "[l](http://a)", "*a* _b_ `c`", "http://a", "&lt;"]
)
def test_no_text_is_taken_as_markup_and_letters_and_signs_stay(text: str) -> None:
    shown = escaped(f"−1 ± 2 é\n{text}")
    assert re.sub(r"\\(.)", r"\1", shown) == f"−1 ± 2 é {text}"
    assert not {*string.punctuation} & {*re.sub(r"\\.", "", shown)}

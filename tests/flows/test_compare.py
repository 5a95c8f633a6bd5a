"""`ganlift compare`: several runs side by side, from MLflow alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from flows.compare import PAGE
from tasks.adapters.comparison import compare, render
from tasks.adapters.tracking.past_runs import PastRun
from tests.adapters.fake_results import make_lift, write_json
from tests.adapters.logged import log_results, runs_of
from tests.flows.tracked import command, tracked_project


@pytest.fixture
def ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of two logged runs, the older first, made with other params and classifiers."""
    paths = tracked_project(tmp_path, monkeypatch)
    # saves seconds
    monkeypatch.setattr("tasks.adapters.tracking.pipeline.register", lambda *_, **__: None)
    log_results(paths)
    params = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(params.replace("total_kimg: 88", "total_kimg: 200"))
    points = {"mean": -0.7, "ci_low": -1.6, "ci_high": 0.1, "level": 0.95, "p_value": 0.09}
    write_json(paths["lift"], make_lift(verdict="inconclusive", lift_pp=points, worth=None))
    log_results(paths)
    return [run.info.run_id for run in runs_of("pipeline")]


def test_two_runs_are_shown_with_what_differs(
    ids: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "compare", ids[0][:10], "latest") == 0
    said = re.sub(r"[│┃ ]+", " ", capsys.readouterr().out)
    assert f"{ids[0][:8]} {ids[1][:8]}" in said
    assert "verdict helps inconclusive" in said
    assert "lift +1.31 pp −0.70 pp" in said
    assert "train_gan.total_kimg 88 200" in said
    assert "worth about 41 more real images (+15 to +90) –" in said
    assert "KID 0.0150 0.0150" in said
    assert "warning" not in said
    page = PAGE.read_text(encoding="utf-8")
    assert ids[0] in page
    assert '<tr class="differs"><th scope="row">train_gan.total_kimg</th>' in page
    assert '<tr><th scope="row">KID</th>' in page
    assert "://" not in page, "the page loads nothing"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["latest"], "at least two runs"),
        (["latest", "latest"], "named twice"),
        (["latest", "latest~2"], "there are 2 pipeline runs"),
        (["latest", "latest~0"], "named twice"),
        (["latest", "nothing"], "no pipeline run has an id that begins with this"),
        (["latest", ""], "no pipeline run has an id that begins with this"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    said: str,
    ids: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(monkeypatch, "compare", *arguments) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    if "begins" in said:
        assert all(one[:8] in error for one in ids), "it lists the runs there are"
    assert not PAGE.exists()


def past(run_id: str = "a" * 32, params: dict[str, str] | None = None, **changes: Any) -> PastRun:
    lift = make_lift(**changes)
    return PastRun(run_id, "data/x", "c0ffee", lift, params or {}, {"kid": 0.01})


def test_runs_of_other_test_splits_or_metrics_get_a_warning() -> None:
    other = {"merged": "ab" * 32, "test": "ef" * 32}
    assert compare([past(), past()]).warnings == []
    (said,) = compare([past(), past(digests=other)]).warnings
    assert "different test splits" in said
    (said,) = compare([past(), past(primary_metric="macro_f1", metric_name="macro F1")]).warnings
    assert "primary metrics differ" in said


def test_an_arm_that_one_run_lacks_is_left_open() -> None:
    lift = make_lift()
    arms = {arm: of for arm, of in lift["arms"].items() if arm != "real+classical+mixup"}
    found = compare([past(), past(arms=arms)]).sections["Every arm"]
    (mixup,) = (row for row in found if row.name == "real+classical+mixup")
    assert mixup.cells[1] == "–"
    assert mixup.differs
    assert found[-1].name == "real+classical at 50 %"  # the curve comes after the arms


def test_text_from_data_is_escaped_on_the_page() -> None:
    evil = "<script>alert(1)</script>"
    runs = [past(params={evil: evil}, answer=evil, metric_name=evil, baseline=evil), past()]
    assert evil not in render(compare(runs))

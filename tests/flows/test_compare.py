"""`ganlift compare`: several runs side by side, from MLflow alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flows.compare import PAGE
from tasks.adapters.comparison import compare, render
from tasks.adapters.tracking.past_runs import PastRun
from tasks.answer.words import interval
from tasks.contracts.arms import REAL
from tasks.lift.result import LiftResult
from tests.adapters.logged import client, log_results, runs_of
from tests.answer.fake_report import altered, fake_lift
from tests.flows.command_line import command
from tests.flows.tracked import enter_copy, tracked_project


@pytest.fixture(scope="module")
def logged_twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two logged runs, made with other params and classifiers."""
    root = tmp_path_factory.mktemp("logged twice")
    with pytest.MonkeyPatch.context() as patch:
        paths = tracked_project(root, patch)
        # saves seconds
        patch.setattr("tasks.adapters.tracking.pipeline.register", lambda *_, **__: None)
        paths["lift"].write_text(fake_lift(mean=1.31, half=0.9).dumps())
        log_results(paths)
        params = Path("params.yaml").read_text(encoding="utf-8")
        Path("params.yaml").write_text(params.replace("total_kimg: 88", "total_kimg: 200"))
        other = altered(fake_lift(mean=-0.7, half=0.9), worth=None)
        paths["lift"].write_text(other.dumps())
        log_results(paths)
    return root


@pytest.fixture
def ids(logged_twice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of two logged runs, the older first, of a project that is entered."""
    enter_copy(logged_twice, tmp_path, monkeypatch)
    return [run.info.run_id for run in runs_of("pipeline")]


def test_two_runs_are_shown_with_what_differs(
    ids: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "compare", ids[0][:10], "latest") == 0
    said = re.sub(r"[│┃ ]+", " ", capsys.readouterr().out)
    assert f"{ids[0][:8]} {ids[1][:8]}" in said
    assert "verdict helps inconclusive" in said
    assert "lift +1.3 points [+0.4, +2.2] −0.7 points [−1.6, +0.2]" in said
    assert "train_gan.total_kimg 88 200" in said
    assert "worth about 140 more real images [+40, over +200] –" in said
    assert "KID 0.0150 0.0150" in said
    assert "recipe mixup, 800 steps mixup, 800 steps" in said
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


def test_one_fold_of_several_is_not_the_latest(
    ids: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client().update_run(ids[1], name="fold 2 of 2, helps: +1.3 points")
    assert command(monkeypatch, "compare", "latest", ids[1]) == 0
    said = capsys.readouterr().out
    assert said.index(ids[0][:8]) < said.index(ids[1][:8])
    assert command(monkeypatch, "compare", "latest~1", ids[1]) == 1
    assert "there is 1 pipeline run." in capsys.readouterr().err


def test_a_result_of_another_schema_is_refused_by_the_name_of_its_run(
    ids: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client().log_text(ids[0], '{"schema": "ganlift/lift/1"}', "lift.json")
    assert command(monkeypatch, "compare", *ids) == 1
    assert f"run {ids[0][:8]}: is no result of schema ganlift/lift/5" in capsys.readouterr().err


def past(lift: LiftResult, params: dict[str, str] | None = None) -> PastRun:
    return PastRun("a" * 32, "data/x", "c0ffee", lift, params or {}, {})


def test_runs_of_other_test_splits_or_metrics_get_a_warning() -> None:
    lift = fake_lift()
    other = altered(lift, digests={"test": "ef" * 32})
    assert compare([past(lift), past(lift)]).warnings == []
    (said,) = compare([past(lift), past(other)]).warnings
    assert "different test images" in said
    (said,) = compare([past(lift), past(fake_lift(metric="macro_f1"))]).warnings
    assert "primary metrics differ" in said


def test_an_arm_that_one_run_lacks_is_left_open() -> None:
    lift = fake_lift()
    arms = {arm: of for arm, of in lift.arms.items() if arm != REAL}
    found = compare([past(lift), past(lift.model_copy(update={"arms": arms}))])
    (real,) = (row for row in found.sections["Every arm"] if row.name == REAL)
    assert real.cells[0].endswith(interval(lift.arm_lift_pp[REAL]))
    assert real.cells[1] == "–"
    assert real.differs


def test_text_from_data_is_escaped_on_the_page() -> None:
    evil = "<script>alert(1)</script>"
    lift = altered(fake_lift(), answer=evil, metric_name=evil, treatment=evil)
    assert evil not in render(compare([past(lift, {evil: evil}), past(fake_lift())]))

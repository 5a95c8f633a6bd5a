"""`ganlift history`: results over time, and runs with nothing new between them."""

from __future__ import annotations

import inspect
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from flows.cli_results import ui
from flows.history import _table
from flows.nights import (
    NIGHTS,
    digest_of,
    is_quiet,
    known_run,
    note_failure,
    note_night,
    noted_failures,
    noted_nights,
    nothing_new,
)
from tasks.adapters.history import draw_lift_over_time, drawn, render
from tasks.adapters.timeline import (
    LOCAL_PAGES,
    Failed,
    Failure,
    LoggedResult,
    Night,
    Quiet,
    ResultRow,
    ResultRun,
    timeline,
)
from tasks.adapters.tracking.history import pages
from tasks.lift.result import LiftResult
from tests.adapters.fake_results import DATASET
from tests.adapters.logged import client, log_results, runs_of
from tests.answer.fake_report import altered, fake_lift
from tests.flows.command_line import command
from tests.flows.tracked import enter_copy, tracked_project

START = datetime(2026, 11, 1, 3, 12, tzinfo=UTC)


def logged(day: int, lift: LiftResult | None, **changes: str | bool) -> LoggedResult:
    result = {
        "run_id": f"{day:08d}{'a' * 24}",
        "name": "a run",
        "verdict": lift.verdict if lift else "hurts",
        "digest": f"digest {day}",
        "champion": False,
    }
    of = {**result, **changes}
    return LoggedResult(**of, ended=START + timedelta(days=day), lift=lift)  # type: ignore[arg-type]


def night(day: int, of: int) -> Night:
    return Night(START + timedelta(days=day), f"digest {of}")


def failure(day: int, line: str) -> Failure:
    return Failure(START + timedelta(days=day), DATASET, line)


@pytest.fixture(scope="module")
def logged_twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two logged runs; the first one's classifier is the champion."""
    root = tmp_path_factory.mktemp("logged twice")
    with pytest.MonkeyPatch.context() as patch:
        paths = tracked_project(root, patch)
        log_results(paths)
        patch.setattr("tasks.adapters.tracking.pipeline.register", lambda *_, **__: None)
        note_night(Path(), paths["lift"])
        note_night(Path(), paths["lift"])
        before = LiftResult.load(paths["lift"])
        changed = {"train": before.counts.train + 20}
        lift = {"mean": -0.7, "ci_low": -1.6, "ci_high": 0.2}
        paths["lift"].write_text(altered(before, counts=changed, lift_pp=lift).dumps())
        log_results(paths)
    return root


@pytest.fixture
def ids(logged_twice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of two logged runs, the older first, of a project that is entered."""
    enter_copy(logged_twice, tmp_path, monkeypatch)
    return [run.info.run_id for run in runs_of("pipeline")]


def test_results_are_shown_in_their_order_with_what_came_and_the_champion(
    ids: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "history", "--html", "page.html") == 0
    said = re.sub(r"[│┃ ]+", " ", capsys.readouterr().out)
    first, quiet, second = (
        said.index(text) for text in (ids[0][:8], "nothing new, 2 times", ids[1][:8])
    )
    assert first < quiet < second
    assert re.search(rf"{ids[0][:8]} helps \+1.3 points \[\+0.4, \+2.2\] 200 champion", said)
    assert re.search(rf"{ids[1][:8]} helps −0.7 points \[−1.6, \+0.2\] 220 \(\+20\) \n", said)
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 1
    assert ids[0] in page
    assert ids[1] in page
    assert "://" not in page, "the page loads nothing"


@pytest.mark.usefixtures("ids")
def test_the_page_replaces_its_own_kind_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "history", "--html", "page.html") == 0
    assert command(monkeypatch, "history", "--html", "page.html") == 0
    mine = tmp_path / "mine.html"
    mine.write_text("<!doctype html> mine")
    for wrong, said in ((mine, "did not write"), (tmp_path, "did not write"), ("no/x", "folder")):
        assert command(monkeypatch, "history", "--html", str(wrong)) == 1
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert mine.read_text() == "<!doctype html> mine"


def test_folds_other_data_sets_and_unreadable_results(
    ids: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client().update_run(ids[0], name="fold 2 of 5, helps: +1.3 points")
    client().log_text(ids[1], '{"schema": "ganlift/lift/1"}', "lift.json")
    assert command(monkeypatch, "history") == 0
    said = capsys.readouterr().out
    assert ids[0][:8] not in said
    assert "nothing new" not in said, "they belong to a result that is not shown"
    assert "lift.json cannot be read" in said
    client().set_tag(ids[1], "ganlift.dataset", "elsewhere/digits.yaml")
    assert command(monkeypatch, "history") == 1
    assert f"{DATASET}: MLflow holds no result of this data set" in capsys.readouterr().err


def test_a_run_with_nothing_new_names_the_run_that_has_the_result(
    ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (lift,) = Path().glob("reports/lift.json")
    said = nothing_new(Path(), lift)
    assert said.startswith(f"nothing new since {ids[1][:8]}, ")
    run = known_run(Path(), lift)
    assert run
    assert run.is_local
    assert run.page.startswith(f"{LOCAL_PAGES}/#/experiments/")
    assert f"/runs/{ids[1]}" in run.page
    with monkeypatch.context() as patch:  # told once, it is known without MLflow
        patch.setattr("tasks.adapters.tracking.history.run_of", lambda _: None)
        assert nothing_new(Path(), lift) == said
        # of another store it tells nothing: that one has pages of its own
        patch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:50001")
        assert known_run(Path(), lift) is None
        assert pages() == "http://127.0.0.1:50001"
        assert not ResultRun(run.run_id, run.ended, f"{pages()}/#/experiments/1").is_local
    lift.write_text("{}")
    assert nothing_new(Path(), lift) == "nothing new"


def test_the_pages_of_this_machine_are_where_ganlift_ui_serves_them() -> None:
    port = inspect.signature(ui).parameters["port"].default
    assert f"http://127.0.0.1:{port}" == LOCAL_PAGES


def test_only_a_whole_line_without_change_is_quiet(tmp_path: Path) -> None:
    assert is_quiet({"ingest": "unchanged", "report": "unchanged"})
    assert is_quiet({"fold 1 ingest": "unchanged", "report_folds": "unchanged"})
    assert not is_quiet({"ingest": "unchanged", "report": "cached"})
    assert not is_quiet({"merge": "unchanged", "report": "unchanged"})
    assert noted_nights(tmp_path) == []
    lift = tmp_path / "lift.json"
    lift.write_text("{}")
    note_night(tmp_path, lift)
    with (tmp_path / NIGHTS).open("a") as file:
        file.write('{"ended": "2026-11-')  # killed as it wrote
    (found,) = noted_nights(tmp_path)
    assert found.digest == digest_of(lift)
    assert found.ended.tzinfo is not None
    assert json.loads((tmp_path / NIGHTS).read_text().splitlines()[0])["result"] == found.digest


def test_nights_stand_between_the_results_they_fell_between() -> None:
    lift = fake_lift()
    results = [logged(0, lift), logged(4, lift)]
    nights = [night(1, 0), night(3, 0), night(5, 4), night(2, 9)]
    first, quiet, second, last = timeline(results, nights, [])
    assert isinstance(first, ResultRow)
    assert isinstance(second, ResultRow)
    assert isinstance(quiet, Quiet)
    assert isinstance(last, Quiet)
    assert quiet.said == "2 runs with nothing new, 2 Nov 2026 to 4 Nov 2026"
    assert last.said == "1 run with nothing new, 6 Nov 2026"


def test_failures_stand_where_they_fell_and_say_why() -> None:
    results, nights = [logged(0, fake_lift()), logged(5, fake_lift())], [night(1, 0)]
    failures = [failure(day, f"thing {day}: it is broken. Mend it.") for day in (2, 3, 7)]
    _, _, two, _, last = timeline(results, nights, failures)
    assert isinstance(two, Failed)
    assert isinstance(last, Failed)
    said = "2 runs failed, 3 Nov 2026 to 4 Nov 2026: thing 3: it is broken. Mend it."
    assert two.said == said
    page = render("x", results, [two])
    assert f'<tr class="failed"><td colspan="6">{said}</td></tr>' in page
    with (console := Console(width=300)).capture() as shown:
        console.print(_table([two]))
    assert "failed   2 times: thing 3: it is broken. Mend it." in shown.get()


def test_a_failure_is_of_the_data_set_that_it_fell_on(tmp_path: Path) -> None:
    note_failure(tmp_path, "before there are settings it is noted nowhere")
    (tmp_path / "params.yaml").write_text("ingest: {source: mine}")
    note_failure(tmp_path, "why")
    (found,) = noted_failures(tmp_path, "mine")
    assert found.line == "why"
    assert noted_failures(tmp_path, "others") == []
    assert noted_nights(tmp_path) == []


def test_images_are_counted_against_the_result_before() -> None:
    lift = fake_lift()
    more = altered(lift, counts={"train": lift.counts.train + 1500}, digests={"test": "ef" * 32})
    results = [logged(0, more, champion=True), logged(1, None), logged(2, lift), logged(3, lift)]
    rows = [row for row in timeline(results, [], []) if isinstance(row, ResultRow)]
    have = f"{lift.counts.train:,}"
    assert [row.images for row in rows] == [
        f"{lift.counts.train + 1500:,}",
        "–",
        f"{have} (−1,500)",
        have,
    ]
    assert [row.notes for row in rows] == [
        "champion",
        "lift.json cannot be read",
        "other test images than before",
        "",
    ]


def test_a_cross_validation_is_told_as_such_and_counted_against_another_one() -> None:
    lift = fake_lift()
    one = {
        "fold": 1,
        "verdict": "helps",
        "lift_pp": {"mean": 1.0, "ci_low": 0.5, "ci_high": 1.5},
        "baseline": lift.baseline,
        "recipe": "plain",
        "steps": 800,
        "train_images": 100,
        "test_images": 50,
    }
    folds = [{**one, "fold": fold} for fold in (1, 2, 3)]
    over_all = altered(lift, folds=folds, counts={"train": lift.counts.train + 70})
    more = altered(over_all, counts={"train": lift.counts.train + 75})
    results = [logged(0, lift), logged(1, over_all), logged(2, more)]
    rows = [row for row in timeline(results, [], []) if isinstance(row, ResultRow)]
    assert [row.notes for row in rows] == ["", "3 folds", "3 folds"]
    assert [row.images.partition(" ")[2] for row in rows] == ["", "", "(+5)"]


def test_lifts_of_another_metric_are_not_drawn_on_this_scale(tmp_path: Path) -> None:
    other, lift = fake_lift(metric="macro_f1", metric_name="macro F1"), fake_lift()
    results = [logged(0, other), logged(1, lift), logged(2, None)]
    assert [one.run_id for one, _ in drawn(results)] == [results[1].run_id]
    page = render("x", results, timeline(results, [], []))
    assert "2 of the results cannot be drawn on this scale" in page
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    draw_lift_over_time(results, one)
    draw_lift_over_time([*results, logged(3, fake_lift(mean=-2.0))], two)
    assert one.read_bytes() != two.read_bytes()


def test_a_history_without_a_readable_lift_has_no_picture() -> None:
    alone = [logged(0, None)]
    page = render("x", alone, timeline(alone, [], []))
    assert "<img" not in page
    assert "1 result<" in page


def test_text_from_data_is_escaped_on_the_page_and_at_the_terminal() -> None:
    evil = "<script>alert(1)</script>[red]x[/red]"
    results = [logged(0, None, name=evil, verdict=evil), logged(1, fake_lift(metric_name=evil))]
    rows = timeline(results, [], [failure(2, evil)])
    assert "<script>" not in render(evil, results, rows)
    console = Console(width=300)
    with console.capture() as shown:
        console.print(_table(rows))
    assert shown.get().count("[red]x[/red]") == 3  # name, verdict and reason

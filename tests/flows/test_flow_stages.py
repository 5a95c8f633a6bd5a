from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest

from flows.edit_params import edit_params
from flows.mending import mend
from flows.nights import digest_of, noted_nights
from flows.outs import bring_back, is_up_to_date, missing_inputs
from flows.project import run_lock
from tasks.adapters.tracking.retention import Wanted
from tasks.contracts.errors import UserError
from tests.answer.fake_report import fake_lift
from tests.flows.asked import ask, latest, progress

pytestmark = pytest.mark.usefixtures("prefect_url")
Run = Callable[..., dict[str, str]]


@pytest.fixture
def run() -> Run:
    from flows.pipeline import pipeline

    return pipeline


def _files(root: Path) -> dict[str, str]:
    """Every output, by path."""
    return {
        str(path.relative_to(root)): path.read_text()
        for folder in ("out", "page", "reports")
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    }


def _order(root: Path, stage: str, text: str) -> None:
    (root / "orders" / stage).write_text(text)


def test_unchanged_cached_and_done_are_told_apart(
    line: Path, run: Run, dvc: Callable[..., str]
) -> None:
    lock = (line / "dvc.lock").read_bytes()
    assert set(run().values()) == {"unchanged"}
    assert (line / "dvc.lock").read_bytes() == lock

    _order(line, "merge", "second")
    states = run("quality_filter")
    assert [stage for stage, state in states.items() if state == "done"] == ["merge", "retrain"]
    assert list(states)[-1] == "report"

    _order(line, "merge", "first")
    assert run("merge", "merge") == {"merge": "done"}
    run("retrain")
    assert (line / "dvc.lock").read_bytes() == lock
    assert "up to date" in dvc(line, "status")

    shutil.rmtree(line / "out" / "merge")  # made before, and DVC's cache still has it
    assert run("merge", "retrain") == {"merge": "cached", "retrain": "unchanged"}
    assert (line / "out" / "merge" / "data").read_text() == "first"


@pytest.mark.parametrize("how", ["the flow", "dvc repro", "dvc repro --single-item merge"])
def test_what_stands_in_an_outputs_place_is_never_removed(
    how: str, line: Path, run: Run, dvc: Callable[..., str]
) -> None:
    photos = line / "out" / "merge"
    shutil.rmtree(photos)
    photos.mkdir()
    (photos / "photo.png").write_bytes(b"somebody's own")
    _order(line, "merge", "second")
    with pytest.raises((UserError, AssertionError), match=r"photo\.png.*did not write it"):
        run("merge") if how == "the flow" else dvc(line, *how.split()[1:])
    assert (photos / "photo.png").read_bytes() == b"somebody's own"


def test_what_older_results_needed_is_freed_where_it_is_asked_for(
    line: Path, run: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Wanted] = []

    def freed(root: Path, wanted: Wanted) -> str:
        assert root == line
        with run_lock(root):  # it takes the lock itself
            asked.append(wanted)
        return "Freed."

    monkeypatch.setattr("flows.pipeline.free_after_run", freed)
    run(None, "ingest")
    assert asked == []
    run(None, "ingest", keep_days=90.0)
    assert asked == [Wanted(None, 90.0)]


def test_force_runs_what_has_not_changed(line: Path, run: Run) -> None:
    assert run("report", "report", True) == {"report": "done"}


def test_a_whole_run_that_finds_nothing_new_is_noted_and_named_so(
    line: Path, run: Run, prefect_url: str
) -> None:
    run("report")  # begins late: what came before was not looked at
    assert noted_nights(line) == []
    run(None, "merge")
    assert noted_nights(line) == []
    run()
    (night,) = noted_nights(line)
    assert night.digest == digest_of(line / "reports" / "lift.json")
    assert latest(prefect_url)["name"] == "orders · nothing new, helps +1.2 points"
    _order(line, "report", "second")
    run()  # a stage ran again, and the result is the one that was there
    assert [one.digest for one in noted_nights(line)] == [night.digest, night.digest]
    assert latest(prefect_url)["name"] == "orders · helps +1.2 points"
    (line / "result.json").write_text(fake_lift(mean=-2.0, half=0.5).dumps())
    _order(line, "report", "third")
    run()
    assert len(noted_nights(line)) == 2


def test_params_that_cannot_be_read_are_the_runs_one_line(
    line: Path, run: Run, prefect_url: str
) -> None:
    (line / "params.yaml").write_text("nonsense: 1\n")
    with pytest.raises(UserError):
        run()
    flow_run = latest(prefect_url)
    assert flow_run["name"].startswith("ganlift · ")
    assert "nonsense" in flow_run["state"]["message"]
    assert flow_run["state_name"] == "Failed"


@pytest.mark.parametrize("name", ["prefect.task_runs", "prefect.flow_runs", "prefect.engine"])
@pytest.mark.parametrize("error", [UserError("thing", "is broken", "Mend it"), OSError("odd")])
def test_a_failure_that_its_state_tells_is_not_logged_again_by_any_engine(
    name: str, error: Exception
) -> None:
    """The engine of a scheduled run has a logger of its own for it, with the whole trace."""
    from flows.stages import failed

    failed(UserError("thing", "is broken", "Mend it"))
    try:
        raise error
    except type(error):
        record = logging.LogRecord(name, 40, "", 0, "Engine exited", (), sys.exc_info())
    assert bool(logging.getLogger(name).filter(record)) == isinstance(error, OSError)


def test_prefects_page_shows_a_failure_as_its_one_line_and_no_chatter(
    line: Path, run: Run, prefect_url: str
) -> None:
    _order(line, "merge", "fail merge")
    with pytest.raises(UserError):
        run("merge", "merge")
    flow_run = latest(prefect_url)
    assert flow_run["state"]["message"] == "thing 7: it is broken. Mend it."
    assert re.fullmatch(r"orders · \d+ \w{3} \d{4}, \d\d:\d\d", flow_run["name"])
    (stage,) = ask(f"{prefect_url}/task_runs/filter", flow_runs={"id": {"any_": [flow_run["id"]]}})
    assert stage["state"]["message"] == "thing 7: it is broken. Mend it."
    from prefect.logging.handlers import APILogHandler

    from flows.stages import CHATTER

    APILogHandler().flush()
    logs = ask(f"{prefect_url}/logs/filter", logs={"flow_run_id": {"any_": [flow_run["id"]]}})
    said = [log["message"] for log in logs if log["level"] >= logging.INFO]
    assert "merge at work" in said
    assert not [text for text in said if "Traceback" in text or text.startswith(CHATTER)]
    assert sum("thing 7" in text for text in said) == 2  # as the stage ends, and the run
    assert "NoneType" not in "".join(said)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("fail merge", r"^thing 7: it is broken\. Mend it\.$"),
        ("crash merge", r"stage merge.*RuntimeError: a bug"),
    ],
)
def test_a_failed_stage_leaves_the_previous_results(
    order: str, said: str, line: Path, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    before = _files(line)
    lock = (line / "dvc.lock").read_bytes()
    _order(line, "merge", order)
    with pytest.raises(UserError, match=said):
        run("quality_filter")
    after = _files(line)
    told = "page/merge.html"  # written by the stage that failed: it tells why, and stays
    assert after[told] == ("why it failed" if order == "fail merge" else before[told])
    assert {**after, told: ""} == {**before, told: ""}
    assert (line / "dvc.lock").read_bytes() == lock
    assert not is_up_to_date(line, "merge")
    shown = capfd.readouterr().out
    assert "merge at work" in shown
    assert "merge           failed" in shown
    assert "Running stage" not in shown
    assert "retrain" not in shown


def test_a_stage_that_never_ends_is_stopped_with_all_its_children(
    line: Path, gone: Callable[[int], bool]
) -> None:
    from prefect import flow

    from flows.stages import reproduce

    @flow
    def impatient() -> None:
        reproduce.with_options(timeout_seconds=5)("merge", line)

    before = _files(line)
    _order(line, "merge", "hang merge")
    with pytest.raises(TimeoutError):
        impatient()
    assert gone(int((line / "pids").read_text()))
    assert _files(line) == before


def test_a_killed_stage_is_told_at_once_though_its_orphans_hold_on(
    line: Path, run: Run, gone: Callable[[int], bool]
) -> None:
    before = _files(line)
    _order(line, "merge", "hang merge")
    killed = threading.Thread(target=_kill_stage, args=(line / "pids",))
    killed.start()
    with pytest.raises(UserError, match=r"stage merge: killed by signal 9; was.* Lower generate"):
        run("merge")
    killed.join()
    assert gone(int((line / "pids").read_text()))
    assert _files(line) == before


def _kill_stage(told: Path) -> None:
    """Kill a stage as the kernel does when memory is out, once it has a process of its own."""
    while not (told.is_file() and told.read_text()):
        time.sleep(0.05)
    status = Path(f"/proc/{told.read_text()}/stat").read_text()
    os.kill(int(status.rpartition(")")[2].split()[1]), signal.SIGKILL)


def test_what_dvc_itself_refuses_is_said_in_a_line(line: Path, run: Run) -> None:
    (line / "orders" / "ingest").unlink()
    with pytest.raises(UserError, match=r"^stage ingest: .*orders/ingest"):
        run()


@pytest.mark.parametrize("step", range(1, 8))
def test_a_kill_as_outputs_come_back_leaves_all_or_none(
    step: int, line: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _files(line)
    (line / "out" / "merge" / "data").unlink()
    (line / "out" / "merge").rmdir()
    (line / "page" / "merge.html").unlink()
    steps = iter(range(1, 100))

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def step_or_end(*arguments: Any, **named: Any) -> Any:
            if next(steps) >= step:
                raise KeyboardInterrupt
            return call(*arguments, **named)

        return step_or_end

    with monkeypatch.context() as patch:
        for name in ("rename", "replace"):
            patch.setattr(os, name, counted(getattr(os, name)))
        with suppress(KeyboardInterrupt):
            assert bring_back(line, "merge")
    mend(line)
    back = {path: text for path, text in before.items() if path in _files(line)}
    assert back == _files(line)
    assert len(before) - len(back) in (0, 2)
    assert bring_back(line, "merge") or back == before
    assert _files(line) == before


def test_what_the_cache_has_no_more_does_not_come_back_in_part(line: Path) -> None:
    shutil.rmtree(line / "out" / "merge")
    shutil.rmtree(line / ".dvc" / "cache")
    assert not bring_back(line, "merge")
    assert not (line / "out" / "merge").exists()


def test_a_run_that_was_killed_is_ended_by_the_next(line: Path, run: Run, prefect_url: str) -> None:
    dead = ask(f"{prefect_url}/flows/", name="ganlift")
    killed = ask(f"{prefect_url}/flow_runs/", flow_id=dead["id"], state={"type": "RUNNING"})
    at_work = ask(
        f"{prefect_url}/task_runs/",
        flow_run_id=killed["id"],
        task_key="stage",
        dynamic_key="0",
        state={"type": "RUNNING"},
    )
    bar = {"type": "progress", "data": 42.0, "description": "merge"}
    ask(f"{prefect_url}/artifacts/", flow_run_id=killed["id"], **bar)
    from flows.project import NOTES

    note = line / NOTES / killed["id"]
    note.parent.mkdir(parents=True)
    note.touch()
    run("report")
    ended = [
        ask(f"{prefect_url}/flow_runs/filter", flow_runs={"id": {"any_": [killed["id"]]}}),
        ask(f"{prefect_url}/task_runs/filter", task_runs={"id": {"any_": [at_work["id"]]}}),
    ]
    assert [one["state_type"] for (one,) in ended] == ["CRASHED", "CRASHED"]
    assert not list(note.parent.iterdir())
    (bar,) = progress(prefect_url, killed["id"])
    assert bar["description"] == "merge: the run was killed"


def test_from_does_not_visit_what_is_before_but_needs_it(line: Path, run: Run) -> None:
    _order(line, "generate", "second")
    assert run("merge", "retrain") == {"merge": "unchanged", "retrain": "unchanged"}
    (line / "out" / "quality_filter" / "data").unlink()
    assert missing_inputs(line, "merge") == [str(Path("out/quality_filter/data"))]
    with pytest.raises(UserError, match="out/quality_filter/data does not exist"):
        run("merge")


def test_a_class_that_is_not_there_is_told_before_a_gan_trains(
    line: Path, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    edit_params(line / "params.yaml", ["report.primary_metric=recall:frok"])
    (line / "classes.json").write_text(
        '{"classes": ["cup", "fork"], "image_size": 8, "channels": 1}'
    )
    with (line / "dvc.yaml").open("a") as file:
        file.write("vars: [{path: {ingest: classes.json}}]\n")
    with pytest.raises(UserError, match="The nearest is recall:fork"):
        run()
    shown = capfd.readouterr().out
    assert "ingest" in shown
    assert "validate" not in shown
    assert run(None, "validate")  # nothing is trained: nobody asks for the class


def test_another_run_at_work_stops_this_one(
    line: Path, run: Run, held_elsewhere: Callable[[Path], AbstractContextManager[int]]
) -> None:
    with held_elsewhere(line) as pid, pytest.raises(UserError, match=f"process {pid}"):
        run()


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [("mrge", None, "nearest is merge"), ("report", "merge", "merge comes before report")],
)
def test_stages_are_checked_by_name_and_order(first: str, last: str | None, said: str) -> None:
    from flows.line import selected

    with pytest.raises(UserError, match=said):
        selected(first, last)

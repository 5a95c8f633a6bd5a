"""A stage that is stuck is ended and tried once more, and each run's log tells of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.run_log import KEPT, LOG, LOGS, logged
from tasks.contracts.errors import UserError
from tests.flows.asked import ask


@pytest.fixture
def run(prefect_url: str) -> Callable[..., dict[str, str]]:
    assert prefect_url  # is up before Prefect is imported
    from flows.pipeline import pipeline

    return pipeline


def _newest_stage(url: str) -> Any:
    """The stage's run that began last."""
    (found,) = ask(f"{url}/task_runs/filter", sort="EXPECTED_START_TIME_DESC", limit=1)
    return found


def test_a_stage_that_stands_still_is_ended_and_tried_once_more(
    line: Path,
    run: Callable[..., dict[str, str]],
    prefect_url: str,
    gone: Callable[[int], bool],
) -> None:
    first: list[int] = []

    def stall_and_mend() -> None:
        while not ((line / "pids").is_file() and (line / "pids").read_text()):
            time.sleep(0.05)
        first.append(int((line / "pids").read_text()))
        (line / "orders" / "merge").write_text("second")  # so the second attempt does not hang
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("flows.standstill.STALL_SECONDS", 0.1)
            assert gone(first[0])

    (line / "orders" / "merge").write_text("hang merge")
    stuck = threading.Thread(target=stall_and_mend)
    stuck.start()
    assert run("merge", "merge") == {"merge": "done"}
    stuck.join()
    assert (line / "out" / "merge" / "data").read_text() == "second"
    stage = _newest_stage(prefect_url)
    assert (stage["state_type"], stage["run_count"]) == ("COMPLETED", 2)
    (log,) = (line / LOGS).glob("*.log")
    assert "nothing moved for" in log.read_text()
    assert "merge: stalled after" in log.read_text()


def test_only_what_stands_still_is_tried_again(
    line: Path, run: Callable[..., dict[str, str]], prefect_url: str
) -> None:
    (line / "orders" / "merge").write_text("crash merge")
    with pytest.raises(UserError, match=r"RuntimeError: a bug.*\.ganlift/logs"):
        run("merge", "merge")
    stage = _newest_stage(prefect_url)
    assert stage["run_count"] == 1
    (log,) = (line / LOGS).glob("*.log")
    told = log.read_text()
    for text in ("merge begins", "Running stage", "Traceback", "merge: failed after", "ended: "):
        assert text in told


def test_the_newest_logs_are_kept(tmp_path: Path) -> None:
    own = tmp_path / LOGS / "0_my_notes.log"
    own.parent.mkdir(parents=True)
    own.touch()
    for _ in range(KEPT + 3):
        with logged(tmp_path) as path:
            LOG.info("told")
    assert own.exists(), "ganlift did not write it"
    assert len(list((tmp_path / LOGS).iterdir())) == KEPT + 1
    assert path.read_text().endswith(" told\n")

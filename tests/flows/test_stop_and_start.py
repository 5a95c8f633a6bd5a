"""A schedule that was stopped in mid-stage, by whatever, is started again and runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from flows import prefect_server
from flows.child import environment
from flows.notify import set_webhook
from tests.flows.asked import ask, read
from tests.flows.sink import Sink

NEVER = "0 0 29 2 *"  # the test lets runs fall due, without waiting for a clock
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class Served:
    """A project whose schedule is served by a process of its own."""

    def __init__(self, root: Path) -> None:
        port = prefect_server._free_port()
        self.api = f"http://127.0.0.1:{port}/api"
        self._log = root / "served.log"
        named = (*prefect_server.CHOSEN_BY_USER, "PREFECT_SERVER_UI_API_URL")
        ours = {name: value for name, value in environment().items() if name not in named}
        ours |= {
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",  # saves 3 s
        }
        command = [Path(sys.executable).parent / "ganlift", "schedule", "--port", str(port)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--cron", NEVER],
                cwd=root,
                env=ours,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # a shell that starts the tests in the background has SIGINT ignored
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def eventually(self, look: Callable[[], Any]) -> Any:
        """Return what ``look`` finds, once it finds something."""
        for _ in range(1200):
            with suppress(OSError):  # not up yet
                if found := look():
                    return found
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"it did not come about:\n{self._log.read_text()}")

    def deployed(self) -> dict[str, Any] | None:
        """The deployment whose cron fires, which is paused while no schedule is served."""
        found = read(f"{self.api}/deployments/name/ganlift/schedule")
        fires = not found["paused"] and all(one["active"] for one in found["schedules"])
        return dict(found) if fires else None

    def fire(self) -> str:
        """Let the schedule's next run fall due now, and return its id."""
        found = self.eventually(self.deployed)
        url = f"{self.api}/deployments/{found['id']}/create_flow_run"
        return str(self.eventually(lambda: ask(url))["id"])

    def state(self, run: str) -> str:
        return str(read(f"{self.api}/flow_runs/{run}")["state_type"])

    def end(self, number: int) -> int:
        """Send a signal; return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@pytest.fixture
def serve(line: Path) -> Iterator[Callable[[], Served]]:
    """Serve the project's schedule; what is still served in the end is killed."""
    served: list[Served] = []

    def start() -> Served:
        served.append(Served(line))
        return served[-1]

    yield start
    for one in served:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)


def test_a_schedule_stopped_in_mid_stage_runs_again(
    line: Path, serve: Callable[[], Served], gone: Callable[[int], bool]
) -> None:
    sink = Sink()
    set_webhook(line, sink.url)
    before = (line / "out" / "merge" / "data").read_text()
    (line / "orders" / "merge").write_text("hang merge")
    pids, runs = line / "pids", []
    for number, status in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        served = serve()
        runs.append(served.fire())
        grandchild = int(served.eventually(lambda: pids.is_file() and pids.read_text()))
        assert served.end(number) == status
        if number == signal.SIGKILL:  # what a stage has started is that stage's to end
            os.kill(grandchild, signal.SIGKILL)
        assert gone(grandchild)
        assert (line / "out" / "merge" / "data").read_text() == before
        pids.unlink()
    (line / "orders" / "merge").write_text("second")
    served = serve()
    last = served.fire()
    assert served.eventually(lambda: served.state(last) in ENDED and served.state(last)) == (
        "COMPLETED"
    )
    assert [served.state(run) for run in runs] == ["CANCELLED", "CRASHED"]
    left = {"state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}}
    assert ask(f"{served.api}/flow_runs/filter", flow_runs=left) == []
    assert (line / "out" / "merge" / "data").read_text() == "second"
    (told,) = sink.got  # of the killed run alone: the other was stopped by a person
    assert "was killed" in told["line"]
    sink.close()

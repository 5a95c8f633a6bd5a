"""The tiny line that `bench.chaos` strikes: its project, its processes, and what must be left."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import yaml

from bench.chaos import CHANGES, SIGNALS, Blow, Outcome
from flows.new_project import make_project

CODE = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
TINY = (
    "ingest.per_class=12",
    "ingest.test_share=0.2",
    "train_gan.seeds=[0,1]",
    "train_gan.width=8",
    "train_gan.total_kimg=2",
    "train_gan.grid_kimg=2",
    "quality_filter.folds=2",
    "quality_filter.classifier_steps=20",
    "quality_filter.p_real_quantile=0.0",
    "quality_filter.confidence_quantile=0.0",
    "quality_filter.copy_quantile=0.0",
    "retrain.seeds=[0,1]",
    "retrain.recipes=[plain,classical]",
    "retrain.steps=10",
    "retrain.most_steps=20",
    "retrain.learning_rate=0.004",
    "retrain.batch_size=32",
    "retrain.fractions=[2]",
)
VALUES = {"seed": (0, 1), "generate.per_class": (20, 21), "report.resamples": (2000, 2001)}
MARK = "GANLIFT_CHAOS"  # in the environment of every process of the project
LONGEST = 900.0  # seconds of any run
LINGERING = 20.0  # seconds that a process of a killed run may take to end
AT_WORK = "('RUNNING', 'PENDING', 'CANCELLING')"
NEVER = "0 0 29 2 *"
FINAL = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class TinyLine:
    """A project of the digits whose eight variants, by `VALUES`, have run undisturbed.

    Args:
        folder: of the project and its notes; one that is there is taken as it is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._root = folder, folder / "project"
        self._log = folder / "log.txt"
        noted = folder / "undisturbed.json"
        if not noted.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            make_project(self._root)
            noted.write_text(json.dumps(self._undisturbed()), encoding="utf-8")
        found = json.loads(noted.read_text(encoding="utf-8"))
        self._wanted: dict[str, dict[str, str]] = found["bytes"]
        self._usual: dict[str, float] = found["seconds"]  # by the setting that was changed

    def _undisturbed(self) -> dict[str, Any]:
        wanted, taken = dict[str, dict[str, str]](), dict[str, float]()
        last = [f"{name}={first}" for name, (first, _) in VALUES.items()]
        for number in range(2 ** len(VALUES)):
            # by Gray's code, so that each differs in one setting from the one before
            name = [*VALUES][::-1][(number & -number).bit_length() - 1] if number else "seed"
            began = time.monotonic()
            settings = [f"{name}={self._other(name)}"] if number else [*TINY, *last]
            if self._start(*settings).wait(LONGEST):
                raise SystemExit(f"the undisturbed line failed: {self._log} tells why")
            taken[name] = time.monotonic() - began
            wanted[self._variant()] = self._bytes()
        return {"bytes": wanted, "seconds": taken}

    def _variant(self) -> str:
        """Return the values of the settings that rounds change, as params.yaml has them."""
        text = (self._root / "params.yaml").read_text(encoding="utf-8")
        flat = pd.json_normalize(yaml.safe_load(text)).iloc[0]
        return " ".join(str(flat[name]) for name in VALUES)

    def _other(self, name: str) -> int:
        now = self._variant().split()[[*VALUES].index(name)]
        (other,) = (value for value in VALUES[name] if str(value) != now)
        return other

    def survive(self, blow: Blow) -> Outcome:
        """Start a run or a schedule, strike, let the next one go on, and look."""
        if blow.fresh:
            for kept in (".ganlift/kept", ".dvc/cache/runs"):
                shutil.rmtree(self._root / kept, ignore_errors=True)
        survive = self._schedule_survives if blow.scheduled else self._run_survives
        struck, seconds, faults = survive(blow)
        return Outcome(struck, seconds, (*faults, *self._left()))

    def _run_survives(self, blow: Blow) -> tuple[str | None, float, list[str]]:
        changed = f"{blow.change}={self._other(blow.change)}"
        began = time.monotonic()
        run = self._start(changed, forced_from=CHANGES[blow.change])
        struck = self._strike(blow, run)
        if not _ends(run):
            return struck, 0.0, [f"the struck run is at work after {LONGEST:.0f} s"]
        if struck is None:  # the machine is less busy than it was undisturbed
            self._usual[blow.change] = time.monotonic() - began
        began = time.monotonic()
        then = self._start(changed)
        if not _ends(then):
            return struck, 0.0, [f"the next run is at work after {LONGEST:.0f} s"]
        faults = [f"the next run ended with status {then.returncode}"] if then.returncode else []
        return struck, time.monotonic() - began, faults

    def _schedule_survives(self, blow: Blow) -> tuple[str | None, float, list[str]]:
        edit = "from flows.edit_params import edit_params; from pathlib import Path; import sys; "
        edit += "edit_params(Path('params.yaml'), sys.argv[1:])"
        changed = f"{blow.change}={self._other(blow.change)}"
        self._call(str(BIN / "python"), "-c", edit, changed).wait()
        served = _Served(self._call)
        try:
            served.fire(force=True, from_stage=CHANGES[blow.change])
            struck = self._strike(blow, served.process)
            if blow.victim == "schedule" and struck and not _ends(served.process):
                return struck, 0.0, [f"the schedule is at work after {LONGEST:.0f} s"]
            if blow.victim != "schedule":
                served.settled()
            began = time.monotonic()
            if served.process.poll() is not None:
                served = _Served(self._call)
            state = served.state_of(served.fire())
            seconds = time.monotonic() - began
            faults = [] if state == "COMPLETED" else [f"the schedule's next run is {state}"]
            return struck, seconds, faults
        except TimeoutError as error:
            return None, 0.0, [str(error)]
        finally:
            if served.process.poll() is None:
                served.process.terminate()
                _ends(served.process)

    def _call(self, *command: str) -> subprocess.Popen[bytes]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MLFLOW_", "PREFECT_", "DVC_"))
        }
        ours = {MARK: str(self._root), "PYTHONPATH": str(CODE), "LOKY_MAX_CPU_COUNT": "2"}
        ours |= {"PREFECT_RUNNER_POLL_FREQUENCY": "1"}
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self._root,
                env=kept | ours,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=heed_signals,
            )

    def _start(self, *settings: str, forced_from: str | None = None) -> subprocess.Popen[bytes]:
        written = [part for one in settings for part in ("--set", one)]
        how = ["--from", forced_from, "--force"] if forced_from else []
        return self._call(str(BIN / "ganlift"), "run", *written, *how)

    def _strike(self, blow: Blow, run: subprocess.Popen[bytes]) -> str | None:
        """Wait for the moment, then for such a process, and send it the signal."""
        usual = self._usual[blow.change]
        time.sleep(blow.moment * usual)
        until = time.monotonic() + 2 * usual  # a busy machine takes longer
        while run.poll() is None and time.monotonic() < until:
            for victim in _victims(run.pid)[blow.victim]:
                with suppress(psutil.Error):
                    told = " ".join(victim.cmdline())  # anew: it may have begun as its parent's
                    if "resource_tracker" in told:  # which no work waits for
                        continue
                    victim.send_signal(blow.signal_number)
                    return told[-60:]
            time.sleep(0.02)
        return None

    def _bytes(self) -> dict[str, str]:
        """Return the sha256 of every output that ``dvc.lock`` names, of it and of the reports."""
        lock = self._root / "dvc.lock"
        stages = yaml.safe_load(lock.read_text(encoding="utf-8"))["stages"]
        outs = {out["path"] for stage in stages.values() for out in stage["outs"]}
        files = {lock, *(self._root / "reports").rglob("*")}
        for path in (self._root / out for out in outs):
            files |= {path, *path.rglob("*")}
        return {
            str(file.relative_to(self._root)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(files)
            if file.is_file()
        }

    def _left(self) -> list[str]:
        """Return what a run has left behind that it should not, and what it should have left."""
        faults = list[str]()
        wanted, there = self._wanted[self._variant()], self._bytes()
        other = sorted(name for name in {*wanted, *there} if wanted.get(name) != there.get(name))
        if other:
            faults.append(f"other bytes than undisturbed: {', '.join(other[:5])}")
        ends = time.monotonic() + LINGERING
        while (alive := self._alive()) and time.monotonic() < ends:
            time.sleep(0.2)
        faults += [f"process left: {one}" for one in alive]
        for lock in (".dvc/tmp/lock", ".ganlift/run.lock", ".ganlift/schedule.lock"):
            if (self._root / lock).is_file() and not _is_free(self._root / lock):
                faults.append(f"{lock} is held")
        holds = self._root / ".dvc/tmp/rwlock"
        if holds.is_file() and any(json.loads(holds.read_text(encoding="utf-8") or "{}").values()):
            faults.append("DVC's rwlock holds paths")
        litter = [*self._root.rglob(".*.arriving"), *self._root.rglob(".*.leaving")]
        litter += [*(self._root / ".ganlift/flow_runs").glob("*")]
        litter += [*(self._root / ".ganlift/aside").glob("*/moving.json")]
        faults += [f"left: {path.relative_to(self._root)}" for path in litter]
        prefect, mlflow = (
            self._root / ".ganlift/prefect/prefect.db",
            self._root / "mlflow/mlflow.db",
        )
        for store, what, asked in (
            (prefect, "flow runs", f"select count(*) from flow_run where state_type in {AT_WORK}"),
            (prefect, "stages", f"select count(*) from task_run where state_type in {AT_WORK}"),
            (prefect, "slots", "select coalesce(sum(active_slots), 0) from concurrency_limit_v2"),
            (mlflow, "MLflow runs", "select count(*) from runs where status = 'RUNNING'"),
        ):
            if found := _asked(store, asked):
                faults.append(f"{found} {what} at work for ever")
        return faults

    def _alive(self) -> list[str]:
        found = list[str]()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                ours = process.environ().get(MARK) == str(self._root)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{process.pid} {' '.join(process.cmdline())[-80:]}")
        return found


def heed_signals() -> None:
    """Let signals do as they do by default: ``&`` and ``nohup`` have a bench ignore some."""
    for name in SIGNALS:
        if name != "KILL":  # which nobody can ignore
            signal.signal(signal.Signals[f"SIG{name}"], signal.SIG_DFL)


class _Served:
    """A schedule that is being served, and Prefect's server of it."""

    def __init__(self, call: Callable[..., subprocess.Popen[bytes]]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._api = f"http://127.0.0.1:{port}/api"
        command = [str(BIN / "ganlift"), "schedule", "--port", str(port), "--cron", NEVER]
        self.process = call(*command)
        self._fired = ""

    def fire(self, **wishes: object) -> str:
        """Let a run fall due now, and return its id."""
        found = self._eventually(self._deployment, "the schedule is not served")
        path = f"deployments/{found['id']}/create_flow_run"
        wished = {"parameters": wishes}
        made = self._eventually(lambda: self._ask(path, wished), "the server makes no run")
        self._fired = str(made["id"])
        return self._fired

    def state_of(self, run: str) -> str:
        """Return the state in which a run ended."""
        return str(self._eventually(lambda: self._ended(run), "the schedule's run does not end"))

    def settled(self) -> None:
        """Wait until the run that was struck has ended, or the schedule has."""
        with suppress(ChildProcessError):
            self.state_of(self._fired)

    def _ended(self, run: str) -> str | None:
        state = self._ask(f"flow_runs/{run}")["state_type"]
        return state if state in FINAL else None

    def _deployment(self) -> Any:
        found = self._ask("deployments/name/ganlift/schedule")
        return None if found["paused"] else found

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        question = urllib.request.Request(
            f"{self._api}/{path}", data, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(question, timeout=30) as answer:
            return json.load(answer)

    def _eventually(self, look: Callable[[], Any], otherwise: str) -> Any:
        ends = time.monotonic() + LONGEST
        while time.monotonic() < ends:
            with suppress(OSError):  # not up yet, or no more
                if found := look():
                    return found
            if self.process.poll() is not None:
                raise ChildProcessError(otherwise)
            time.sleep(0.2)
        raise TimeoutError(f"{otherwise} after {LONGEST:.0f} s")


def _victims(run: int) -> dict[str, list[psutil.Process]]:
    """Return the living processes of a run, or of a schedule, by what they are."""
    found: dict[str, list[psutil.Process]] = {
        name: [] for name in ("schedule", "flow", "dvc", "stage", "worker")
    }
    with suppress(psutil.Error):
        first = psutil.Process(run)
        scheduled = "schedule" in first.cmdline()
        found["schedule" if scheduled else "flow"].append(first)
        for one in first.children(recursive=True):
            with suppress(psutil.Error):
                words = " ".join(one.cmdline())
                above = [parent.pid for parent in one.parents()]
                if " dvc " in words and "repro" in words:
                    found["dvc"].append(one)
                elif any(stage.pid in above for stage in found["stage"]):
                    found["worker"].append(one)
                elif "-m tasks." in words:
                    found["stage"].append(one)
                elif "-m prefect.engine" in words:
                    found["flow"].append(one)
    return found


def _ends(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        return False
    return True


def _is_free(lock: Path) -> bool:
    with lock.open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _asked(store: Path, question: str) -> int:
    if not store.is_file():
        return 0
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
        (count,) = connection.execute(question).fetchone()
    connection.close()
    return int(count)

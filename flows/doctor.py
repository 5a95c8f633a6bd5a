"""``ganlift doctor``: what a run needs of this machine and this project, each with its mend."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from rich.console import Console
from rich.markup import escape

import tasks
from flows import prefect_server
from flows.dvc_words import LOCKS, dvc_error
from flows.project import LEAST_FREE, LOCK
from tasks.contracts.boundary import disk_error
from tasks.contracts.errors import UserError

_LEAST_MEMORY = 2e9  # bytes: torch, MLflow and one worker of the built-in run
_MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        thing: its name.
        fact: what was found.
        mend: what to do; None where all is well.
    """

    thing: str
    fact: str
    mend: str | None = None


def examine(root: Path) -> Iterator[Finding]:
    """Look at everything in turn; what cannot be looked at is a finding too. Nothing is changed."""
    for check in _CHECKS:
        try:
            yield from check(root)
        except Exception as error:  # one that fails hides none of the others
            told = error if isinstance(error, UserError) else disk_error(error)
            if told is None:
                raise
            yield Finding(told.thing, told.reason, told.mend)


def show(root: Path) -> bool:
    """Print what `examine` finds, and return whether all is well."""
    console, well = Console(highlight=False), True
    for one in examine(root):
        well = well and one.mend is None
        mark = "[green]ok[/]  " if one.mend is None else "[red]mend[/]"
        console.print(f"{mark}  [bold]{escape(one.thing)}[/]  {escape(one.fact)}", soft_wrap=True)
        if one.mend is not None:
            console.print(f"      {escape(one.mend)}", soft_wrap=True)
    return well


def _installation(root: Path) -> Iterator[Finding]:
    code, own = Path(str(tasks.__file__)).resolve().parent, (root / "tasks").resolve()
    python = f"{platform.python_implementation()} {platform.python_version()} of {sys.prefix}"
    if code == own:
        yield Finding("installation", f"ganlift {version('ganlift')}, {python}")
    else:
        yield Finding(
            "installation",
            f"ganlift is run from {code.parent} and the stages from {own.parent}, by {python}",
            "Use the environment that belongs to this project: `source .venv/bin/activate`",
        )
    if shutil.which("git") is None:
        yield Finding("git", "not installed, and DVC keeps versions with it", "Install it")


def _versions(_: Path) -> Iterator[Finding]:
    wanted = [Requirement(text) for text in requires("ganlift") or ()]
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [f"{one} (there is {there})" for one in wanted if (there := _unfit(one))]
    if wrong:
        yield Finding("versions", f"not as needed: {', '.join(wrong)}", "Install them: `make run`")
    else:
        names = ("dvc", "mlflow", "prefect", "great-expectations")
        told = ", ".join(f"{name} {version(name)}" for name in names)
        yield Finding("versions", f"{len(wanted)} packages as needed, among them {told}")


def _unfit(one: Requirement) -> str | None:
    """Return the version that is there where it is not what is required, None where it is."""
    try:
        there = version(one.name)
    except PackageNotFoundError:
        return "none"
    return None if one.specifier.contains(there, prereleases=True) else there


def _torch(_: Path) -> Iterator[Finding]:
    import torch

    build = f"torch {torch.__version__}"
    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_name(card) for card in range(torch.cuda.device_count())]
        yield Finding("device", f"{', '.join(cards)}; {build}")
    elif shutil.which("nvidia-smi"):
        made_for = torch.version.cuda
        yield Finding(
            "device",
            f"{build} cannot use the GPU of this machine",
            f"Update the driver: this torch was built for CUDA {made_for}"
            if made_for
            else "Install a torch that was built for CUDA",
        )
    else:
        yield Finding("device", f"{os.cpu_count()} cores, no GPU; {build}")


def _disk(root: Path) -> Iterator[Finding]:
    usage = shutil.disk_usage(root)
    fact = f"{usage.free / 1e9:,.1f} of {usage.total / 1e9:,.1f} GB free at {root}"
    full = usage.free < LEAST_FREE
    yield Finding("disk", fact, "Free some space; a run needs 100 MB at least" if full else None)
    for folder in (root, root / ".dvc", root / ".ganlift", root / "mlflow"):
        if folder.exists() and not os.access(folder, os.W_OK):
            yield Finding(
                str(folder),
                "cannot be written",
                "Change its permissions, or work in a copy of the project where you may write",
            )


def _memory(_: Path) -> Iterator[Finding]:
    if not _MEMORY.is_file():
        return
    lines = _MEMORY.read_text(encoding="ascii").splitlines()
    kilobytes = {
        name: int(rest.split()[0]) for name, _, rest in (one.partition(":") for one in lines)
    }
    free, total = 1024 * kilobytes["MemAvailable"], 1024 * kilobytes["MemTotal"]
    fact = f"{free / 1e9:,.1f} of {total / 1e9:,.1f} GB free"
    mend = "Close other programs, or set LOKY_MAX_CPU_COUNT=1: fewer workers run at a time"
    yield Finding("memory", fact, mend if free < _LEAST_MEMORY else None)


def _remotes(root: Path) -> Iterator[Finding]:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import SCMError

    try:
        with Repo(str(root)) as repo:
            remotes = {name: told["url"] for name, told in repo.config["remote"].items()}
            repo.scm  # noqa: B018  what every command of DVC asks for first
    except (DvcException, SCMError) as error:
        raise dvc_error("dvc", str(error).splitlines()) from None
    if not remotes:
        yield Finding("remotes", "none: data and models are on this machine alone")
    for name, url in remotes.items():
        gone = "://" not in url and not Path(url).is_dir()
        mend = f"Mount it, or name another: `dvc remote modify {name} url ...`" if gone else None
        yield Finding(f"remote {name}", f"{url} is no folder" if gone else url, mend)


def _servers(root: Path) -> Iterator[Finding]:
    if prefect_server.settle(root):
        yield Finding("Prefect", "a server is started for each run")
    else:
        prefect_server.see_answering()
        yield Finding("Prefect", os.environ.get("PREFECT_API_URL") or "as your profile has it")


def _tracking(_: Path) -> Iterator[Finding]:
    from tasks.adapters.tracking.failures import shown
    from tasks.adapters.tracking.store import asked, home, local_uri, tracking_uri

    if tracking_uri() == local_uri() and not (home() / "mlflow.db").is_file():
        yield Finding("MLflow", "the first run makes the project's own store")
        return
    with asked("look again") as store:
        experiments = store.client().search_experiments()
        dead = [run for one in experiments for run in store.dead_runs(one.experiment_id)]
    closed = f"; {len(dead)} runs were killed, and the next run over their images closes them"
    yield Finding("MLflow", f"{shown(store.uri)}{closed if dead else ''}")


def _locks(root: Path) -> Iterator[Finding]:
    path = root / LOCK
    holder = ""
    if path.is_file():
        with path.open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = file.read().strip()
    yield Finding("run", f"process {holder} is at work here" if holder else "none is at work here")
    try:
        json.loads((root / LOCKS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        pass
    except ValueError:
        yield Finding("DVC's locks", f"{LOCKS} is damaged", f"Remove it: `rm {LOCKS}`")


def _clock(root: Path) -> Iterator[Finding]:
    now = time.time()
    told = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
    names = ("dvc.yaml", "params.yaml", "dvc.lock")
    ahead = [
        name for name in names if (file := root / name).exists() and file.stat().st_mtime > now
    ]
    if ahead:
        mend = "Set it: `timedatectl set-ntp true`, or `touch` the file if the clock is right"
        yield Finding("clock", f"{told}, which is before {ahead[0]} was written", mend)
    else:
        yield Finding("clock", told)


_CHECKS: tuple[Callable[[Path], Iterator[Finding]], ...] = (
    _installation,
    _versions,
    _torch,
    _disk,
    _memory,
    _remotes,
    _servers,
    _tracking,
    _locks,
    _clock,
)

"""The shared server of ``mlflow/compose.yaml`` without its containers.

PostgreSQL has a cluster of its own in a folder that is thrown away, the bucket is the moto
server's, and the server is started by the very command and settings of the compose file.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Template

import pytest
import yaml

from tasks.contracts.parent import die_with_parent

MLFLOW = Path(__file__).resolve().parents[2] / "mlflow"
USER, PASSWORD = "admin", "a password of tests"
BUCKET = "ganlift-tests"
_SECONDS = 120.0


@dataclass(frozen=True)
class SharedServer:
    """A running one: its address, its database's, and the address of the bucket's server."""

    url: str
    database: str
    bucket: str


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs, or skip the test."""
    found = shutil.which("initdb")
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    if found:
        folders.append(Path(found).parent)
    for folder in folders:
        if (folder / "initdb").is_file() and (folder / "pg_ctl").is_file():
            return folder
    pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")


@contextmanager
def shared_server(folder: Path) -> Iterator[SharedServer]:
    """Start the three; the server's messages go to ``folder``."""
    pytest.importorskip("flask_wtf", reason="mlflow[auth] is not installed")
    with postgres() as port, bucket_server() as bucket:
        settings = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(port),
            "MLFLOW_S3_ENDPOINT_URL": bucket,
            **_env_example(),
            "ARTIFACTS": f"s3://{BUCKET}/mlflow",
        }
        with mlflow_server(settings, folder / "server.log") as url:
            yield SharedServer(url, f"postgresql://mlflow@127.0.0.1:{port}/mlflow", bucket)


def _env_example() -> dict[str, str]:
    """Return the settings of ``env.example``, every empty one filled in."""
    lines = (MLFLOW / "env.example").read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    return {name: value or PASSWORD for name, value in pairs}


@contextmanager
def postgres() -> Iterator[int]:
    """Make a cluster that trusts this machine, with the user and database ``mlflow``."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's folders are closed to other users
        yield from _cluster(Path(folder))


def _cluster(folder: Path) -> Iterator[int]:
    programs, port, owner = binaries(), free_port(), list[str]()
    data = folder / "data"
    if os.geteuid() == 0:  # it refuses to run as root
        owner = ["runuser", "-u", "nobody", "--"]
        shutil.chown(folder, "nobody")
    start = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"

    def run(program: str, *arguments: str) -> None:
        command = [*owner, str(programs / program), *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    run("initdb", "-D", str(data), "-U", "mlflow", "-A", "trust", "-E", "UTF8", "--no-sync")
    run("pg_ctl", "-D", str(data), "-o", start, "-l", str(folder / "log"), "-w", "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "mlflow", "mlflow")
        yield port
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


@contextmanager
def bucket_server() -> Iterator[str]:
    """Serve S3 as a process of its own, with an empty bucket."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with _process(
        [str(Path(sys.executable).parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        f"{url}/moto-api/",
        {},
        Path(os.devnull),
    ):
        urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT")).close()
        yield url


@contextmanager
def mlflow_server(settings: dict[str, str], log: Path) -> Iterator[str]:
    """Start the server by the compose file's command, on loopback and a free port."""
    service = yaml.safe_load((MLFLOW / "compose.yaml").read_text())["services"]["server"]
    port = free_port()
    ours = {"host": "127.0.0.1", "port": str(port), "workers": "1"}
    command = [Template(_plain(one)).substitute(settings) for one in service["command"]]
    for n, one in enumerate(command):
        name = one.removeprefix("--").partition("=")[0]
        command[n] = f"--{name}={ours[name]}" if name in ours else one
    given = {
        name: Template(_plain(value)).substitute(settings)
        for name, value in service["environment"].items()
    }
    lines = (MLFLOW / "server.env").read_text().splitlines()
    fixed = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    url = f"http://127.0.0.1:{port}"
    with _process(
        [sys.executable, "-m", *command],
        f"{url}/health",
        {**fixed, **given, **settings},
        log,
        cwd=MLFLOW.parent,
    ):
        yield url


def _plain(text: str) -> str:
    """Return ``${NAME:?reason}`` as ``${NAME}``."""
    head, found, rest = text.partition(":?")
    return f"{head}}}{rest.partition('}')[2]}" if found else text


@contextmanager
def _process(
    command: list[str], page: str, settings: dict[str, str], log: Path, cwd: Path | None = None
) -> Iterator[None]:
    with log.open("wb") as told:
        process = subprocess.Popen(
            command,
            env=os.environ | settings,
            stdout=told,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                urllib.request.urlopen(page, timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                assert process.poll() is None, log.read_text(errors="replace")[-2000:]
                assert time.monotonic() < deadline, "it did not come up"
                time.sleep(0.1)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # nothing of theirs is kept
        process.wait()


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

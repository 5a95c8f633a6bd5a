"""MLflow's pages on this machine, over the same store the stages write."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tasks.adapters.tracking.failures import shown
from tasks.adapters.tracking.lineage import run_page
from tasks.adapters.tracking.run_list import list_page
from tasks.adapters.tracking.store import asked, home, local_uri, quick, store_at, tracking_uri
from tasks.contracts.errors import UserError
from tasks.contracts.parent import die_with_parent

if TYPE_CHECKING:
    from mlflow.entities import Run

_HOST = "127.0.0.1"
_START_SECONDS = 120.0


def serve(port: int = 5000) -> None:
    """Serve MLflow on 127.0.0.1 until interrupted, and print where.

    Where the store is a server already, its pages are named and none is started.

    Raises:
        UserError: the port is in use or not allowed, or a server does not come up or answer.
    """
    if urlsplit(uri := tracking_uri()).scheme in ("http", "https"):
        with asked("try again") as store:
            latest = next(store.answers(), None)
        print(f"MLflow is at {shown(uri)}", flush=True)
        _print_latest(shown(uri), latest)
        return
    server = start_server(port)
    print(f"MLflow is at http://{_HOST}:{port} (Ctrl-C ends it)", flush=True)
    _print_latest(f"http://{_HOST}:{port}", next(store_at(local_uri()).answers(), None))
    try:
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        stop_server(server)


def _print_latest(address: str, latest: Run | None) -> None:
    if latest:
        info, pages = latest.info, address.rstrip("/")
        page = run_page(info.experiment_id, info.run_id)
        print(f"The latest answer, {info.run_name}: {pages}/{page}", flush=True)
        every = list_page(info.experiment_id)
        print(f"Every answer of its data set: {pages}/{every}", flush=True)


def start_server(port: int) -> subprocess.Popen[bytes]:
    """Start the server and wait until it answers.

    Raises:
        UserError: the port is in use or not allowed, or the server does not come up.
    """
    _probe(port)
    folder, settings = home(), home() / "server.env"
    store_at(local_uri()).client()  # makes the store before several processes look for it
    command = [
        *(sys.executable, "-m", "mlflow"),
        *(("--env-file", str(settings)) if settings.is_file() else ()),
        *("server", "--host", _HOST, "--port", str(port)),
        *("--backend-store-uri", local_uri(), "--workers", "1", "--no-serve-artifacts"),
        *("--default-artifact-root", (folder / "artifacts").as_uri()),
    ]
    # MLflow settles its telemetry before it reads the file: `quick` turns it off in time.
    with quick(), (folder / "server.log").open("wb") as log:
        # SIGTERM, because MLflow passes it on to its worker, which SIGKILL would orphan.
        server = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://{_HOST}:{port}/health", timeout=2):
                return server
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    stop_server(server)
    raise UserError(
        "MLflow server",
        f"it did not come up on port {port}",
        f"Its own messages are in {folder / 'server.log'}",
    )


def stop_server(server: subprocess.Popen[bytes]) -> None:
    """End the server and the workers it started."""
    server.terminate()
    try:
        server.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _probe(port: int) -> None:
    """Refuse a port that cannot be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except (OSError, OverflowError) as error:
            taken = getattr(error, "errno", None) == errno.EADDRINUSE
            reason = "in use by another program" if taken else f"not usable ({error})"
            raise UserError(
                f"port {port}", reason, f"Choose another: `ganlift ui --port {_free_port()}`"
            ) from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])

"""Prefect out of the box: its settings, and a server of our own where the user named none.

A server started by us, while this process still imports Prefect, is up twice as fast as
Prefect's own temporary one (6 s a run against 12), and keeps every run's history in the project.
"""

from __future__ import annotations

import atexit
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from flows.child import child
from tasks.contracts.errors import UserError

HOME = Path(".ganlift/prefect")
SECONDS_TO_START = 120.0
CHOSEN_BY_USER = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE")


def settle(root: Path) -> bool:
    """Set Prefect's environment; call before Prefect is imported, which reads it then.

    Returns:
        Whether a server is to be started: the user has named none, nor a home of their own.
    """
    ours = not is_named()
    if ours:
        os.environ["PREFECT_HOME"] = str(root / HOME)
    for name, value in {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # On disk: a server that starts again still knows what its runs hold.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        # It deletes what has ended, with its logs, after 90 days, as it does with events after 7.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(int(SECONDS_TO_START)),
    }.items():
        os.environ.setdefault(name, value)
    return ours


def is_named() -> bool:
    """Tell whether the user has named a server, a home or a profile of Prefect."""
    return any(os.environ.get(name) for name in CHOSEN_BY_USER)


def is_own(root: Path) -> bool:
    """Tell whether the server and its history are this project's, rather than the user's."""
    return os.environ.get("PREFECT_HOME") == str(root / HOME)


def ready(root: Path, port: int | None, *options: str) -> Callable[[], None]:
    """Settle Prefect and start its server if it is ours to start; call before importing Prefect.

    Args:
        root: the project's folder.
        port: of the server on 127.0.0.1; None takes any that is free.
        options: more for `prefect server start`.

    Returns:
        A function that waits until the server answers; there is other work to do meanwhile.

    Raises:
        UserError: the port is taken; or, from the function, no server answers.
    """
    if not settle(root):
        return see_answering
    if port is None:
        port = _free_port()
    else:
        _see_port_free(port)
    return _start(root, port, *options)


def see_answering() -> None:
    """See that the server which the user has named answers.

    Raises:
        UserError: it does not.
    """
    from prefect.client.orchestration import get_client

    address = os.environ.get("PREFECT_API_URL")
    if address:
        with get_client(sync_client=True) as client:
            error = client.api_healthcheck()
        if error:
            raise UserError(
                f"Prefect's server {address}",
                f"it does not answer ({error})",
                "Start it, or unset PREFECT_API_URL and one is started for you",
            )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _see_port_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(
                f"port {port}", error.strerror or "not to be had", "Choose another with --port"
            ) from None


def _start(root: Path, port: int, *options: str) -> Callable[[], None]:
    """Start the server; it ends with this process, after Prefect has sent its last logs.

    What is registered at exit first, before Prefect's import, is called last.
    """
    address = f"http://127.0.0.1:{port}/api"
    os.environ.setdefault("PREFECT_SERVER_UI_API_URL", address)  # or its pages ask port 4200
    log = root / HOME / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--log-level", "WARNING", *options]
    until_exit = ExitStack()
    output = until_exit.enter_context(log.open("ab"))
    process = until_exit.enter_context(child(command, output, root))
    atexit.register(until_exit.close)
    os.environ["PREFECT_API_URL"] = address

    def wait() -> None:
        ends = time.monotonic() + SECONDS_TO_START
        while process.poll() is None and time.monotonic() < ends:
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise UserError(
            "Prefect's server", "it did not start", f"{log.relative_to(root)} tells why"
        )

    return wait

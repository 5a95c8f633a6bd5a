"""Other machines that may take the jobs of a stage: a Dask cluster, if one is named.

``GANLIFT_BACKEND`` is ``local`` (the default) or ``dask``, and ``GANLIFT_CLUSTER`` the
address of the cluster. Both stand in the environment and not in ``params.yaml``: where work is done
changes no byte, so it must make no stage stale, and another machine has another address.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib
import os
import platform
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from tasks.contracts.errors import UserError
from tasks.contracts.machine import one_thread, processor, reduced_by

Result = TypeVar("Result")
BACKEND, ADDRESS = "GANLIFT_BACKEND", "GANLIFT_CLUSTER"
_LOCAL, _DASK = "local", "dask"
_LIBRARIES = ("numpy", "torch", "torchvision", "timm")  # that decide how a sum is rounded
_SECONDS = 10  # to connect, and for a first worker
_UNREAD = "Error during deserialization"  # as Dask's scheduler says it
_TOKENS = Path(".ganlift")
_BUSY = threading.Lock()


@dataclass(frozen=True)
class Cluster:
    """A cluster that is connected.

    Attributes:
        places: jobs that it does at once.
        submit: hands over a function of a module and its arguments.
        told: what a person reads for an error that is the cluster's and not the job's own, None
            for any other.
    """

    places: int
    submit: Callable[..., Future[Any]]
    told: Callable[[BaseException], UserError | None]

    def result(self, future: Future[Result]) -> Result:
        """Wait for what was submitted, and return what it returned or raise what it raised.

        Raises:
            UserError: the cluster has failed.
        """
        try:
            return future.result()
        except Exception as error:
            told = self.told(error)
            if told is None:
                raise
            raise told from error


@dataclass(frozen=True)
class Asked:
    """What a worker must have in common with the process that asks it, or bytes would differ.

    Attributes:
        folder: the project, at the same path everywhere: jobs name files in it.
        token: name of a file in it, whose content is its name.
        facts: versions, code and the kind of processor, each by what a person calls it.
    """

    folder: Path
    token: str
    facts: Mapping[str, str]

    def check(self) -> None:
        """Refuse this process, where it differs.

        Raises:
            UserError: names the machine and the first difference.
        """
        here = f"the worker on {socket.gethostname()} (process {os.getpid()})"
        try:
            seen = (self.folder / _TOKENS / self.token).read_text(encoding="ascii")
        except OSError:
            seen = ""
        if seen != self.token:
            raise UserError(
                here,
                f"does not see the project's folder {self.folder}",
                "Mount it there at the same path, or work without GANLIFT_BACKEND",
            )
        for name, own in facts().items():
            if own != self.facts.get(name):
                raise UserError(
                    here,
                    f"{name} is {own} there and {self.facts.get(name)} here, so results would "
                    "not be the same bytes",
                    "Give all machines the same, then start the workers again",
                )


@cache
def facts() -> dict[str, str]:
    """Return what decides, beside the inputs, the bytes that a process computes."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: version(name) for name in _LIBRARIES},
        "ganlift's code": digest.hexdigest()[:12],
        "the processor": processor(),
        "its arithmetic for bfloat16": reduced_by(),
    }


@contextlib.contextmanager
def cluster() -> Iterator[Cluster | None]:
    """Connect to the cluster that the environment names; None where this machine does the work.

    Raises:
        UserError: an unknown backend, no address, a package that is not installed, or a cluster
            that is not reached or has no worker.
    """
    backend = os.environ.get(BACKEND) or _LOCAL
    if backend == _LOCAL:
        yield None
        return
    if backend != _DASK:
        raise UserError(f"{BACKEND}={backend}", "no such backend", f"Use {_LOCAL} or {_DASK}")
    address = os.environ.get(ADDRESS, "")
    if not address:
        raise UserError(
            f"{BACKEND}={backend}",
            f"{ADDRESS} does not say where the cluster is",
            f"Set it, such as {ADDRESS}=tcp://scheduler:8786 (docs/cluster.md)",
        )
    with _dask(address) as (places, submit, told), _asked() as asked:
        yield Cluster(places, lambda task, *job: submit(asked, task, job), told)


@contextlib.contextmanager
def _asked() -> Iterator[Asked]:
    """Put down the token by which workers know the project's folder, while the block runs."""
    folder, token = Path.cwd(), f"cluster-{secrets.token_hex(8)}"
    mark = folder / _TOKENS / token
    for left in mark.parent.glob("cluster-*"):
        with contextlib.suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.read() == left.name.encode():  # written whole, by a process that was killed
                left.unlink()
    mark.parent.mkdir(parents=True, exist_ok=True)
    with mark.open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go when this process ends, however it ends
        file.write(token)
        file.flush()
        try:
            yield Asked(folder, token, facts())
        finally:
            mark.unlink(missing_ok=True)


def _there(asked: Asked, task: Callable[..., Any], job: tuple[Any, ...]) -> Any:
    """Do a job in a process of the cluster: in the project's folder, alone and on one thread."""
    if not _BUSY.acquire(blocking=False):
        raise UserError(
            f"the worker on {socket.gethostname()} (process {os.getpid()})",
            "does two jobs at once in one process, which would mix their random draws",
            "Start workers of one thread each, such as dask worker --nthreads 1 --nworkers 8",
        )
    try:
        asked.check()
        one_thread()
        with contextlib.chdir(asked.folder):
            return task(*job)
    finally:
        _BUSY.release()


_Connected = tuple[int, Callable[..., Future[Any]], Callable[[BaseException], UserError | None]]


@contextlib.contextmanager
def _dask(address: str) -> Iterator[_Connected]:
    try:
        distributed: Any = importlib.import_module("distributed")
    except ModuleNotFoundError as error:
        raise UserError(
            f"{BACKEND}={_DASK}",
            f"the package {error.name} is not installed",
            "Install it with pip install 'ganlift[dask]'",
        ) from None
    thing, lost = f"{ADDRESS}={address}", (CancelledError, distributed.comm.CommClosedError)

    def told(error: BaseException) -> UserError | None:
        if isinstance(error, distributed.KilledWorker):
            return _ended(thing)
        if isinstance(error, ModuleNotFoundError) or _UNREAD in str(error):
            return UserError(
                thing,
                f"its scheduler or a worker cannot read jobs: {error.__cause__ or error}",
                "Start all of them where the same ganlift is installed",
            )
        return _lost(thing) if isinstance(error, lost) else None

    try:
        client = distributed.Client(address, timeout=_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            thing,
            "no cluster answers there",
            f"Start it (dask scheduler), correct the address, or work without {BACKEND}",
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_SECONDS)
        except TimeoutError:
            raise UserError(
                thing,
                f"has no worker after {_SECONDS} seconds",
                f"Start some, such as dask worker {address} --nthreads 1 --nworkers 8",
            ) from None
        executor = client.get_executor()
        yield sum(client.ncores().values()), partial(executor.submit, _there), told


def _ended(thing: str) -> UserError:
    return UserError(
        thing,
        "a job ended every worker that was given it; was their memory exhausted?",
        "Start fewer workers a machine, or give each more memory, then run again",
    )


def _lost(thing: str) -> UserError:
    return UserError(
        thing,
        "the connection was lost",
        "See whether the cluster runs, then run again: what was finished is kept",
    )

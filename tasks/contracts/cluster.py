"""Other machines that may take the jobs of a stage: a Dask or a Ray cluster, if one is named.

``GANLIFT_BACKEND`` is ``local`` (the default), ``dask`` or ``ray``, and ``GANLIFT_CLUSTER`` the
address of the cluster. Both stand in the environment and not in ``params.yaml``: where work is done
changes no byte, so it must make no stage stale, and another machine has another address.
"""

from __future__ import annotations

import contextlib
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
_LOCAL, _DASK, _RAY = "local", "dask", "ray"
_LIBRARIES = ("numpy", "torch", "torchvision", "timm")  # that decide how a sum is rounded
_SECONDS = 10  # to connect, and for a first worker
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
    if backend not in _CONNECT:
        known = ", ".join([_LOCAL, *_CONNECT])
        raise UserError(f"{BACKEND}={backend}", "no such backend", f"Use one of {known}")
    address = os.environ.get(ADDRESS, "")
    if not address:
        example = "tcp://scheduler:8786" if backend == _DASK else "head-node:6379"
        raise UserError(
            f"{BACKEND}={backend}",
            f"{ADDRESS} does not say where the cluster is",
            f"Set it, such as {ADDRESS}={example} (docs/cluster.md)",
        )
    with _CONNECT[backend](address) as (places, submit, told), _asked() as asked:
        yield Cluster(places, lambda task, *job: submit(asked, task, job), told)


@contextlib.contextmanager
def _asked() -> Iterator[Asked]:
    """Put down the token by which workers know the project's folder, while the block runs."""
    folder, token = Path.cwd(), f"cluster-{secrets.token_hex(8)}"
    mark = folder / _TOKENS / token
    mark.parent.mkdir(exist_ok=True)
    mark.write_text(token, encoding="ascii")
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
    distributed = _imported("distributed", _DASK)
    thing = f"{ADDRESS}={address}"

    def told(error: BaseException) -> UserError | None:
        if isinstance(error, distributed.KilledWorker):
            return _ended(thing)
        if isinstance(error, ImportError | RuntimeError) and "deserialization" in str(error):
            return UserError(
                thing,
                f"its scheduler cannot read jobs: {error.__cause__ or error}",
                "Start scheduler and workers where the same ganlift is installed",
            )
        if isinstance(error, ModuleNotFoundError):
            return UserError(
                thing,
                f"a worker cannot read jobs: {error}",
                "Start scheduler and workers where the same ganlift is installed",
            )
        return _lost(thing) if isinstance(error, CancelledError | OSError) else None

    try:
        client = distributed.Client(address, timeout=_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise _unreached(thing, "dask scheduler") from error
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


@contextlib.contextmanager
def _ray(address: str) -> Iterator[_Connected]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    ray = _imported("ray", _RAY)
    thing = f"{ADDRESS}={address}"

    def told(error: BaseException) -> UserError | None:
        if isinstance(error, ray.exceptions.RayTaskError):
            return error.cause if isinstance(error.cause, UserError) else None
        if isinstance(error, ray.exceptions.WorkerCrashedError | ray.exceptions.OutOfMemoryError):
            return _ended(thing)
        return _lost(thing) if isinstance(error, ray.exceptions.RayError) else None

    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreached(thing, "ray start --head") from error
    try:
        remote = ray.remote(num_cpus=1)(_there)
        places = int(ray.cluster_resources()["CPU"])
        yield places, lambda *call: remote.remote(*call).future(), told
    finally:
        ray.shutdown()


_CONNECT = {_DASK: _dask, _RAY: _ray}


def _imported(package: str, backend: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{BACKEND}={backend}",
            f"the package {error.name} is not installed",
            f"Install it with pip install 'ganlift[{backend}]'",
        ) from None


def _unreached(thing: str, command: str) -> UserError:
    return UserError(
        thing,
        "no cluster answers there",
        f"Start it ({command}), correct the address, or work without {BACKEND}",
    )


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

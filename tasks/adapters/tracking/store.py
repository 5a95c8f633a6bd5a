"""Where the tracking store is, and calls to it that can never fail a stage.

MLflow is imported when the store is first opened, not before: the import takes seconds, and
its telemetry is decided at that moment.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.adapters.tracking.failures import explain, mend_for, unreachable
from tasks.adapters.tracking.lineage import experiment_name
from tasks.adapters.tracking.moved import follow
from tasks.adapters.tracking.run_list import TAG, VIEW
from tasks.contracts.boundary import disk_error
from tasks.contracts.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Set around every call, where the user has not: an answer comes within seconds or not at all.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "DO_NOT_TRACK": "true",
}
_REST_SECONDS = 60.0  # after a failure, before the store is tried again
_PROCESS = "ganlift.process"
_SQLITE = "sqlite:///"
_ONE_FOLD = re.compile(r"fold \d+ of \d+, ")  # begins the run's name

EXPERIMENT_NOTE = """\
Do images made by a GAN make the classifier better? Each *pipeline* run answers this question. \
Its name is the verdict with the lift, its description is a summary, and its artifact \
`00_lift_report.html` is the whole report. Each arm is a child run of the pipeline, with the \
means over its classifier seeds. Each *GAN seed* run holds one GAN: its training curves, its \
sample grids over time, and the model. The view *Results* lists the answers alone. Filter by \
`tags.ganlift.kind = 'pipeline'`, `'arm'` or `'gan'`.
"""


def tracking_uri() -> str:
    """Return ``MLFLOW_TRACKING_URI``, or the store of this project."""
    return os.environ.get("MLFLOW_TRACKING_URI") or local_uri()


def local_uri() -> str:
    """Return the SQLite store of this project."""
    return f"{_SQLITE}{home() / 'mlflow.db'}"


def home() -> Path:
    """Return the store's folder, absolute: ``mlflow/`` in the project's root.

    A queued DVC experiment runs in a temporary copy; its ``DVC_ROOT`` names the true root.
    """
    return Path(os.environ.get("DVC_ROOT") or ".").resolve() / "mlflow"


class Store:
    """One tracking store, opened once. Calls through `attempt` never raise, if forgiving."""

    def __init__(self, uri: str, forgiving: bool = True) -> None:
        self.uri = uri
        self._forgiving = forgiving
        self._client: MlflowClient | None = None
        self._experiments: dict[str, str] = {}
        self._said = False
        self._rest_until = 0.0

    @property
    def registry_uri(self) -> str:
        """Where models are registered: ``MLFLOW_REGISTRY_URI``, or the store itself."""
        return os.environ.get("MLFLOW_REGISTRY_URI") or self.uri

    @property
    def is_local(self) -> bool:
        """Whether it is a SQLite file of this machine, with its artifacts beside it."""
        return self.uri.startswith(_SQLITE)

    def attempt(self, action: Callable[[], object], place: str | None = None) -> bool:
        """Run ``action`` and say whether it was done; say once, in one line, why not.

        ``place`` is the address it calls, the store's own by default.

        Where the store cannot be reached it rests a minute, in which nothing is tried: a dead
        server costs a stage one timeout a minute at most.
        """
        if time.monotonic() < self._rest_until:
            return False
        try:
            with quick():
                action()
        except Exception as error:  # whatever it is, the results matter more
            if not self._forgiving:
                raise
            if unreachable(error):
                self._rest_until = time.monotonic() + _REST_SECONDS
            if not self._said:
                self._said = True
                reason, mend = explain(place or self.uri, error), mend_for(error)
                later = "run `ganlift track` later to log them"
                if not unreachable(error):
                    later = f"{mend[0].lower()}{mend[1:]}, then {later}"
                told = f"tracking: {reason}; the results are safe in reports/; {later}"
                print(told, file=sys.stderr, flush=True)
            return False
        return True

    def client(self) -> MlflowClient:
        """Open the store, made where need be, and return its client. Raises what MLflow does."""
        if self._client is None:
            with quick():
                from mlflow import MlflowClient

                for chatty in ("mlflow", "alembic"):
                    logging.getLogger(chatty).setLevel(logging.ERROR)
                client = MlflowClient(self.uri)
                with self._alone():
                    client.search_experiments(max_results=1)
                    if self.is_local:
                        follow(Path(self.uri.removeprefix(_SQLITE)).resolve())
            self._client = client
        return self._client

    def experiment(self, dataset: str) -> str:
        """Return the id of the experiment of a data set, made (or restored) where need be."""
        name = experiment_name(dataset)
        if name not in self._experiments:
            client = self.client()
            found = client.get_experiment_by_name(name)
            if found is None:
                self._experiments[name] = client.create_experiment(
                    name,
                    artifact_location=self._artifacts(),
                    # The kind keeps MLflow from opening its page for language models.
                    tags={
                        "mlflow.experimentKind": "custom_model_development",
                        "mlflow.note.content": EXPERIMENT_NOTE,
                        TAG: VIEW,
                    },
                )
            else:
                if found.lifecycle_stage == "deleted":
                    client.restore_experiment(found.experiment_id)
                if found.tags.get(TAG) != VIEW:  # made by a former ganlift
                    client.set_experiment_tag(found.experiment_id, TAG, VIEW)
                self._experiments[name] = found.experiment_id
            self._close_dead_runs(self._experiments[name])
        return self._experiments[name]

    def finished(self, experiment_id: str, tag: str, value: str) -> Run | None:
        """Return the first FINISHED run of the experiment with that tag, or None."""
        runs = self.client().search_runs(
            [experiment_id],
            f"tags.`{tag}` = '{value}' and attributes.status = 'FINISHED'",
            max_results=1,
            order_by=["attributes.start_time ASC"],
        )
        return runs[0] if runs else None

    def pipelines(self) -> Iterator[Run]:
        """Yield every finished pipeline run of every experiment, newest first."""
        client = self.client()
        experiments = [one.experiment_id for one in client.search_experiments()]
        token: str | None = None
        while True:
            page = client.search_runs(
                experiments,
                "tags.`ganlift.kind` = 'pipeline' and attributes.status = 'FINISHED'",
                max_results=100,
                order_by=["attributes.end_time DESC"],
                page_token=token,
            )
            yield from page
            if not (token := page.token):
                return

    def answers(self) -> Iterator[Run]:
        """Yield finished runs as `pipelines`, without those of one fold of several."""
        return (run for run in self.pipelines() if not is_one_fold(run))

    def end(self, run_id: str, status: str, when: int | None = None) -> None:
        """End a run, now or at ``when`` in ms since 1970; its process is of no interest then."""
        client = self.client()
        client.set_terminated(run_id, status, when)
        client.delete_tag(run_id, _PROCESS)

    def own_process(self) -> dict[str, str]:
        """Return the tag that tells a run still going from one whose process was killed."""
        return {_PROCESS: f"{socket.gethostname()}:{os.getpid()}"}

    def _artifacts(self) -> str | None:
        """Beside a SQLite file; elsewhere the server knows (its own default)."""
        if not self.is_local:
            return None
        return (Path(self.uri.removeprefix(_SQLITE)).resolve().parent / "artifacts").as_uri()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold a lock while a SQLite store is made: two processes making one break it."""
        if not self.is_local:
            yield
            return
        folder = Path(self.uri.removeprefix(_SQLITE)).parent
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def dead_runs(self, experiment_id: str) -> list[str]:
        """Return the ids of runs whose process was killed, which would seem to run for ever."""
        running = self.client().search_runs([experiment_id], "attributes.status = 'RUNNING'")
        owners = {run.info.run_id: run.data.tags.get(_PROCESS, "") for run in running}
        return [run_id for run_id, owner in owners.items() if _is_dead(owner)]

    def _close_dead_runs(self, experiment_id: str) -> None:
        for run_id in self.dead_runs(experiment_id):
            self.end(run_id, "KILLED")


def _is_dead(owner: str) -> bool:
    host, _, pid = owner.rpartition(":")
    return host == socket.gethostname() and not _alive(int(pid))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def is_one_fold(run: Run) -> bool:
    """Tell whether a pipeline's run is one fold of a cross-validation, and so no answer."""
    return bool(_ONE_FOLD.match(str(run.info.run_name)))


@cache
def store_at(uri: str) -> Store:
    """Return the process's one `Store` for that address."""
    return Store(uri)


@contextmanager
def asked(mend: str, *, registry: bool = False) -> Iterator[Store]:
    """Open the store for what a person asked for: whatever fails is said, and nothing is forgiven.

    Args:
        mend: what to do once the server is there again.
        registry: whether the registry's address is named in the error, and not the store's.

    Raises:
        UserError: raised inside, or in place of whatever else was.
    """
    store = Store(tracking_uri(), forgiving=False)
    try:
        with quick():
            yield store
    except UserError:
        raise
    except Exception as error:
        if told := disk_error(error):
            raise told from error
        thing, uri = ("registry", store.registry_uri) if registry else ("tracking", store.uri)
        raise UserError(thing, explain(uri, error), f"{mend_for(error)}, then {mend}") from error


@contextmanager
def quick(seconds: int = 5) -> Iterator[None]:
    """Short timeouts, no retries, no chatter and no telemetry, for the calls inside."""
    settings = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(seconds), **_SETTINGS}
    added = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)

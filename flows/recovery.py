"""Runs that Prefect believes at work although their process died: ended when the next one starts.

A run notes its id in ``.ganlift/flow_runs`` while it works. A note that is found by whoever holds
the project's lock is of a run that was killed: its process took the lock with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactUpdate, GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

from flows.data_set import data_set
from flows.notify import Message, tell
from flows.prefect_server import is_own
from flows.project import NOTES, run_lock
from tasks.contracts.errors import UserError

AT_WORK = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
KILLED = "The run was killed, or the machine stopped: its process ended without a word."


@contextmanager
def noted(root: Path, run: UUID) -> Iterator[None]:
    """Note that a run is at work; enter with the project's lock held."""
    note = root / NOTES / str(run)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def end_dead_runs(root: Path) -> None:
    """End the runs of this project that were killed, and tell of them; call with its lock held."""
    notes = list((root / NOTES).glob("*"))
    if not notes:
        return
    with get_client(sync_client=True) as client:
        for note in notes:
            _end(client, UUID(note.name))
            note.unlink()
    tell(root, Message(event="failed", dataset=data_set(root), line=KILLED))


def free_schedule(root: Path, deployment: UUID) -> None:
    """End what is dead and free the schedule's slot; call before anything is served.

    On a server that is this project's own, a run at work can then only be one that a person has
    started, and it is noted. A server that the user named may know runs of other projects: there
    the noted ones alone are ended, and it takes a slot back itself when no run renews it.
    """
    with suppress(UserError), run_lock(root):  # held by a run: that one ended the dead ones
        end_dead_runs(root)
    if not is_own(root):
        return
    living = {note.name for note in (root / NOTES).glob("*")}
    at_work = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=AT_WORK)))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(
            flow_run_filter=at_work, sort=FlowRunSort.ID_DESC, limit=200
        ):
            if str(run.id) not in living:
                _end(client, run.id)
        limit = client.read_deployment(deployment).global_concurrency_limit
        if limit is not None:
            client.update_global_concurrency_limit(
                limit.name, GlobalConcurrencyLimitUpdate(active_slots=0)
            )


def _end(client: SyncPrefectClient, run: UUID) -> None:
    """Tell Prefect that a run and its stages have ended; it gives the run's slot back."""
    try:
        state = client.read_flow_run(run).state
    except ObjectNotFound:  # deleted, or on another server
        return
    own = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    stages = client.read_task_runs(flow_run_filter=own, sort=TaskRunSort.ID_DESC, limit=200)
    for stage in stages:
        if not _is_final(stage.state):
            client.set_task_run_state(stage.id, Crashed(message=KILLED), force=True)
    # Asked directly: the client sends nulls that the server refuses.
    wanted = {"flow_run_id": {"any_": [str(run)]}, "type": {"any_": ["progress"]}}
    bars = client.request("POST", "/artifacts/filter", json={"artifacts": wanted}).json()
    for bar in bars:
        if bar["data"] != 100:
            told = ArtifactUpdate(description=f"{bar['description']}: the run was killed")
            client.update_artifact(UUID(bar["id"]), told)
    if not _is_final(state):
        client.set_flow_run_state(run, Crashed(message=KILLED), force=True)


def _is_final(state: State | None) -> bool:
    return state is not None and state.is_final()

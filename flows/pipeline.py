"""The line: every stage once, in the order of the graph."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.logging import get_run_logger
from prefect.runtime import deployment, flow_run
from rich.console import Console

from flows.artifacts import markdown
from flows.data_set import data_set
from flows.durations import Durations, Place
from flows.early import TRAINING, see_fit, see_names
from flows.folds import ANSWERS, OVER_ALL, Visit
from flows.gc import free_after_run
from flows.line import STAGES, laid_out, selected
from flows.mending import mend
from flows.nightly_commit import commit_after_run
from flows.nights import digest_of, is_quiet, is_whole, known_run, note_night
from flows.notify import Message, failures_told, tell
from flows.outs import missing_inputs
from flows.project import find_root, run_lock
from flows.recovery import end_dead_runs, noted
from flows.run_log import logged
from flows.shipped import follow_code
from flows.stages import LONGEST_STAGE_SECONDS, SHOWN, failed, reproduce
from flows.travel import push_after_run
from flows.verdict import short
from flows.versions import log_line
from tasks.adapters.tracking.retention import Wanted
from tasks.adapters.tracking.work import begin
from tasks.contracts.errors import UserError
from tasks.contracts.params.line import load_params
from tasks.contracts.params.reading import FILE, read_values
from tasks.contracts.parent import die_with_parent
from tasks.lift.result import LiftResult


def _begun() -> str:
    """Return a run's name while it works: its data set, and when it began."""
    return f"{data_set(find_root(Path.cwd()))} · {datetime.now().astimezone():%-d %b %Y, %H:%M}"


# Retries belong to tasks: a concurrency limit cancels those of a flow.
@flow(name="ganlift", flow_run_name=_begun, log_prints=False, persist_result=False)
def pipeline(
    from_stage: str | None = None,
    until: str | None = None,
    force: bool = False,
    push: bool = False,
    commit: bool = False,
    keep: int | None = None,
    keep_days: float | None = None,
) -> dict[str, str]:
    """Visit the stages in order and return how each ended.

    `dvc repro -s` calls a stage up to date while one above it is stale: only visiting all of
    them in order makes the answer true.

    Args:
        from_stage: the first to visit; the ones before are taken as they are.
        until: the last to visit.
        force: run each, even if nothing has changed.
        push: copy data and models to the remote in the end, if it can be reached.
        commit: put settings, locks and small reports on a Git branch of their own in the end.
        keep: then free what the newest so many results do not need, as `ganlift gc` does.
        keep_days: then free what the results of the last so many days do not need, likewise.

    Returns:
        stage → ``done``, ``cached`` (brought back from DVC's cache) or ``unchanged``; with
        ``ingest.folds``, each stage of each fold as ``fold 2 retrain``, then ``report_folds``.

    Raises:
        UserError: an unknown stage, a missing input of the first, another run at work, settings
            that a late stage would refuse, or what a stage said when it failed.
    """
    if deployment.id is not None:
        die_with_parent()  # a schedule that is killed outright leaves no run at work
    begin()
    root = find_root(Path.cwd())
    try:
        # `ganlift run` tells of its own failures, those before the flow too.
        with failures_told(root) if deployment.id is not None else nullcontext():
            stages = selected(from_stage, until)
            with run_lock(root), logged(root):
                if deployment.id is not None:  # `ganlift run` has done so as it entered
                    follow_code(root)
                mend(root)
                end_dead_runs(root)
                with noted(root, UUID(flow_run.id)):
                    states = _line(stages, root, from_stage is not None, force)
                    if push:
                        # A run that a schedule started shows its lines through Prefect's log.
                        console = Console(quiet=deployment.id is not None)
                        get_run_logger().info(push_after_run(root, console))
                    if commit:
                        get_run_logger().info(commit_after_run(root))
            wanted = Wanted(keep, keep_days)
            if not wanted.is_all:
                get_run_logger().info(free_after_run(root, wanted))
            return states
    except UserError as error:
        return cast(dict[str, str], failed(error))  # which Prefect raises where it is asked for


def _line(stages: Sequence[str], root: Path, begins_late: bool, force: bool) -> dict[str, str]:
    log_line(root)  # of the run before, if that was not the flow's
    line = laid_out(root, stages, load_params(root / FILE).ingest)
    if begins_late:
        for visit in line:
            if visit.stage == stages[0]:
                _see_inputs(root, visit)
    answer = ANSWERS.get(line[-1].name)
    lift = root / answer[0] if answer else None
    before = _verdict(lift) if lift else None
    was = digest_of(lift) if lift and lift.is_file() else None
    # Called directly, on the main thread: submitted, a timeout or a cancelled run would
    # leave the stage's child at work.
    states = dict(_visited(line, root, force))
    if answer and lift:
        log_line(root)
        result = LiftResult.load(lift)
        create_markdown_artifact(
            markdown(result, answer[1], known_run(root, lift)),
            key="verdict",
            description=result.verdict,
        )
        name = short(result)
        if is_whole(states) and digest_of(lift) == was:
            note_night(root, lift)
        if is_quiet(states):
            name = f"nothing new, {name}"
        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, name=f"{data_set(root)} · {name}")
        if before not in (None, result.verdict):
            _tell_change(root, str(before), result, answer[1])
    return states


def _tell_change(root: Path, before: str, result: LiftResult, page: Path) -> None:
    """Tell whoever asked for it that the verdict is another than that of the run before."""
    line = f"the verdict changed from {before} to {short(result)}."
    tell(
        root,
        Message(
            event="verdict",
            dataset=data_set(root),
            line=line,
            verdict=result.verdict,
            lift=result.lift_pp.mean,
            report=str(page),
        ),
    )


def _verdict(lift: Path) -> str | None:
    """Return what the run before found; None if there was none, or none that can be read."""
    with suppress(UserError):
        return LiftResult.load(lift).verdict
    return None


def _visited(line: Sequence[Visit], root: Path, force: bool) -> Iterator[tuple[str, str]]:
    """Visit the stages; settings that a late one alone uses are checked before a GAN trains."""
    params = load_params(root / FILE)
    trains = any(visit.stage in TRAINING for visit in line)
    if trains:
        see_names(params)
    durations = Durations(root, STAGES, read_values(root / FILE))
    first_with_images = max(line[0].stage, "validate", key=STAGES.index)
    for number, visit in enumerate(line, start=1):
        if trains and visit.stage == first_with_images:
            see_fit(root, visit.target, params)
        started = time.monotonic()
        later, own = map(durations.later, ([one.stage for one in line[number:]], [visit.stage]))
        place = Place(number, len(line), later, own)
        yield visit.name, (state := _visit(visit, root, force, place))
        if state == "done" and visit.name != OVER_ALL:
            durations.add(visit.stage, time.monotonic() - started)


def _visit(visit: Visit, root: Path, force: bool, place: Place) -> str:
    try:
        state = reproduce(visit.target, root, force, place)
    except TimeoutError:
        raise UserError(
            f"stage {visit.name}",
            f"still at work after {LONGEST_STAGE_SECONDS // 3600} hours, so it was stopped",
            "Give it less to do (README, 'Your own images'), then run again",
        ) from None
    if state.is_failed():
        state.result()  # raises the stage's own error
    return SHOWN[str(state.name)]


def _see_inputs(root: Path, visit: Visit) -> None:
    missing = missing_inputs(root, visit.target)
    if missing:
        raise UserError(
            f"stage {visit.name}",
            f"its input {missing[0]} does not exist",
            "Run an earlier stage first: leave out --from, or begin further up",
        )

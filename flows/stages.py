"""One DVC stage as one Prefect task.

The task runs ``dvc repro -s STAGE`` as a child, so DVC alone decides what is stale and writes
``dvc.lock``; calling a stage's function here and committing its outputs would let the lock tell
of params that never ran.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import deployment
from prefect.states import Completed
from rich.console import Console

from flows.child import child, lines
from flows.display import display, ended
from flows.durations import Place
from flows.dvc_words import dvc_error
from flows.outs import bring_back, is_up_to_date
from tasks.contracts.errors import UserError
from tasks.contracts.progress import parse_line

ALONE = Place(1, 1, None)
LONGEST_STAGE_SECONDS = 24 * 3600
SECONDS_BETWEEN_ARTIFACTS = 10.0
SHOWN = {"Completed": "done", "Cached": "cached", "Unchanged": "unchanged"}  # by state's name
CHATTER = (  # of DVC, of no use to someone who did not type `dvc`
    "Running stage '",
    "> ",
    "Generating lock file",
    "Updating lock file",
    "To track the changes with git",
    "\tgit add",
    "To enable auto staging",
    "\tdvc config",
    "Use `dvc push`",
    "ERROR: failed to reproduce",
)


class StageError(UserError):
    """A stage failed, and this is the line in which it said why."""

    def __init__(self, line: str) -> None:
        Exception.__init__(self, line)


# No retries: the same inputs, params and seed fail the same way again.
@task(
    name="stage",
    task_run_name="{stage}",
    timeout_seconds=LONGEST_STAGE_SECONDS,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def reproduce(stage: str, root: Path, force: bool = False, place: Place = ALONE) -> State[None]:
    """Bring one stage up to date; the state is named Unchanged, Cached or Completed.

    Args:
        stage: its name in ``dvc.yaml``.
        root: the project's folder.
        force: run it even if nothing has changed.
        place: where it stands in the line.

    Raises:
        StageError: with the stage's own line; its previous outputs are still in place.
    """
    # A run that a schedule started shows its lines through Prefect's own log.
    console = Console(quiet=deployment.id is not None)
    started = time.monotonic()
    try:
        name = _outcome(stage, root, force, console, place)
    except BaseException:
        ended(console, stage, "failed", time.monotonic() - started)
        raise
    ended(console, stage, SHOWN[name], time.monotonic() - started)
    return Completed(name=name)


def _outcome(stage: str, root: Path, force: bool, console: Console, place: Place) -> str:
    if not force:
        if is_up_to_date(root, stage):
            return "Unchanged"
        if bring_back(root, stage):
            return "Cached"
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    command += ["--force"] if force else []
    heard: list[str] = []
    with display(stage, console, place) as shown:
        told = _artifact(stage)
        with child(command, subprocess.PIPE, root) as process:
            for line in lines(process):
                step = parse_line(line)
                if step:
                    shown.share(*step)
                    told(step[0])
                    continue
                heard.append(line)
                get_run_logger().info(line)
                if line and not line.startswith((*CHATTER, "error: ")):
                    shown.line(line)
            status = process.wait()
        if status != 0:
            raise StageError(_reason(stage, heard, status))
    return "Unchanged" if "didn't change" in "\n".join(heard) else "Completed"


def _artifact(stage: str) -> Callable[[float], None]:
    """Return what tells Prefect's page the share done, seldom enough to cost nothing."""
    last = time.monotonic()
    artifact: UUID | None = None

    def tell(share: float) -> None:
        nonlocal last, artifact
        if time.monotonic() - last < SECONDS_BETWEEN_ARTIFACTS:
            return
        last = time.monotonic()
        if artifact is None:
            artifact = cast(UUID, create_progress_artifact(100 * share, description=stage))
        else:
            update_progress_artifact(artifact, 100 * share)

    return tell


def _reason(stage: str, heard: list[str], status: int) -> str:
    """Return the line a person reads: the stage's own ``error:``, DVC's, or where to look."""
    for line in reversed(heard):
        if line.startswith("error: "):
            return line.removeprefix("error: ")
    errors = [number for number, line in enumerate(heard) if line.startswith("ERROR: ")]
    if errors and "failed to run:" not in heard[errors[-1]]:
        return str(dvc_error(f"stage {stage}", heard[errors[-1] :]))
    ending = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
    said = [line for line in heard if line and not line.startswith((*CHATTER, "ERROR: "))]
    what = f"its command broke off ({said[-1].strip()})" if said else f"it broke off ({ending})"
    return f"stage {stage}: {what}. The lines above tell more; mend that, then run again."

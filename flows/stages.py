"""One DVC stage as one Prefect task.

The task runs ``dvc repro -s STAGE`` as a child, so DVC alone decides what is stale and writes
``dvc.lock``; calling a stage's function here and committing its outputs would let the lock tell
of params that never ran.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import deployment
from prefect.states import Completed, Failed
from rich.console import Console

from flows.artifacts import Outcome, told_progress
from flows.child import Memory, child, lines
from flows.display import display, ended
from flows.durations import Place
from flows.folds import label
from flows.outs import bring_back, is_up_to_date
from flows.reasons import CHATTER, StageError, reason
from flows.run_log import LOG
from flows.standstill import StalledError, Standstill
from tasks.contracts.errors import UserError
from tasks.contracts.progress import parse_line

ALONE = Place(1, 1, None)
LONGEST_STAGE_SECONDS = 24 * 3600
SHOWN = {"Completed": "done", "Cached": "cached", "Unchanged": "unchanged"}  # by state's name


def _may_go_on(_task: object, _run: object, state: State[None]) -> bool:
    """Tell whether a retry can mend a failure.

    The same inputs, params and seed fail the same way again, a full disk stays full, and memory
    that one stage exhausted it exhausts again; MLflow out of reach fails no stage.
    """
    return isinstance(state.data, StalledError)


@task(
    name="stage",
    task_run_name="{stage}",
    timeout_seconds=LONGEST_STAGE_SECONDS,
    retries=1,
    retry_condition_fn=_may_go_on,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def reproduce(stage: str, root: Path, force: bool = False, place: Place = ALONE) -> State[None]:
    """Bring one stage up to date; the state is named Unchanged, Cached or Completed.

    Args:
        stage: its name in ``dvc.yaml``, or as DVC calls one of another file.
        root: the project's folder.
        force: run it even if nothing has changed.
        place: where it stands in the line.

    Raises:
        StageError: with the stage's own line; its previous outputs are still in place. One that
            stood still is tried once more first.
    """
    # A run that a schedule started shows its lines through Prefect's own log.
    console = Console(quiet=deployment.id is not None)
    started = time.monotonic()
    outcome, how = Outcome(stage, root), "stopped"  # by a signal, unless it ends otherwise
    LOG.info("%s begins", label(stage))
    try:
        name = _state_name(stage, root, force, console, place, outcome)
        how = SHOWN[name]
        outcome.show()
        return Completed(name=name)
    except StageError as error:
        how = "stalled" if isinstance(error, StalledError) else "failed"
        LOG.info("%s", error)
        outcome.show()
        return failed(error)
    except Exception:
        how = "failed"
        raise
    finally:
        seconds = time.monotonic() - started
        LOG.info("%s: %s after %.1f s", label(stage), how, seconds)
        ended(console, label(stage), how, seconds)


def failed(error: UserError) -> State[None]:
    """Return a failure whose one line Prefect's page shows; raised, it would log a traceback."""
    for logger in ("prefect.task_runs", "prefect.flow_runs", "prefect.engine"):
        logging.getLogger(logger).addFilter(_is_no_repetition)
    return Failed(message=str(error), data=error)


def _is_no_repetition(record: logging.LogRecord) -> bool:
    """Tell whether Prefect says more than the line of the state in which something failed."""
    raised = record.exc_info[1] if record.exc_info else None
    return not (
        isinstance(raised, UserError) or str(record.msg).startswith("Task run failed with state")
    )


def _state_name(
    stage: str, root: Path, force: bool, console: Console, place: Place, outcome: Outcome
) -> str:
    if not force:
        if is_up_to_date(root, stage):
            return "Unchanged"
        if bring_back(root, stage):
            return "Cached"
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    command += ["--force"] if force else []
    heard: list[str] = []
    with display(label(stage), console, place) as shown, told_progress(label(stage)) as told:
        with child(command, subprocess.PIPE, root) as process:
            memory, standstill = Memory(process), Standstill(label(stage))

            def look() -> None:
                memory.look()
                standstill.look()

            for line in lines(process, meanwhile=look):
                standstill.hear(line)
                step = parse_line(line)
                if step:
                    shown.share(*step)
                    told(step[0])
                    outcome.look()
                    continue
                heard.append(line)
                LOG.info("  %s", line)
                if not line or line.startswith((*CHATTER, "error: ")):  # told when the stage ends
                    get_run_logger().debug(line)
                else:
                    get_run_logger().info(line)
                    shown.line(line)
            status = process.wait()
        if status != 0:
            raise StageError(reason(label(stage), heard, status, memory.most))
    return "Unchanged" if "didn't change" in "\n".join(heard) else "Completed"

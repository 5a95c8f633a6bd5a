"""The line on a schedule, one run at a time."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.runner import Runner
from prefect.schedules import Cron, Schedule
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from flows.data_set import data_set
from flows.notify import Message, tell
from flows.pipeline import pipeline
from flows.recovery import free_schedule
from tasks.contracts.errors import UserError

SERVED = Path(".ganlift/schedule.json")  # what is served; last changed when it was
NOTED_EVERY_SECONDS = 10.0
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def parse_cron(cron: str, timezone: str | None) -> Schedule:
    """Return the schedule that ``cron`` writes, in the given time zone (UTC by default).

    Raises:
        UserError: no cron expression, or no such time zone.
    """
    from prefect.client.schemas.schedules import CronSchedule

    try:
        CronSchedule(cron=cron, timezone=timezone)
    except (ValidationError, ValueError) as error:
        message = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        what = "--timezone" if "timezone" in message.lower() else "--cron"
        mend = {
            "--cron": 'Write minute, hour, day, month and weekday: "0 3 * * *" is 3 a.m. daily',
            "--timezone": "Write it as Europe/Berlin",
        }[what]
        given = cron if what == "--cron" else timezone
        raise UserError(f"{what} {given!r}", message.removeprefix("Value error, "), mend) from None
    return Cron(cron, timezone=timezone)


def planned(schedule: Schedule, wishes: Mapping[str, object]) -> RunnerDeployment:
    """Return the flow with its schedule, as Prefect's server is to know it.

    A run that falls due while one is at work is cancelled, with that as its reason.

    Args:
        schedule: when it runs.
        wishes: what every run is asked for, as parameters of the flow.
    """
    deployment = pipeline.to_deployment(
        name="schedule",
        schedule=schedule,
        parameters=dict(wishes),
        concurrency_limit=ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
        ),
        # By module: a file would put flows/ first on sys.path, before the packages of that name.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return cast(RunnerDeployment, deployment)


def serve(root: Path, schedule: Schedule, wishes: Mapping[str, object]) -> None:
    """Run the line whenever the schedule says so, until this process is told to stop.

    A run at work then is ended first, while Prefect's server can still be told of it.
    """
    if (message := missed(root, datetime.now(UTC))) is not None:
        tell(root, message)
    asyncio.run(_serve(root, schedule, planned(schedule, wishes)))


def missed(root: Path, now: datetime) -> Message | None:
    """Return what somebody has to know of the runs that fell due while no schedule was served."""
    from prefect.server.schemas.schedules import CronSchedule

    note = root / SERVED
    try:
        cron = CronSchedule.model_validate_json(note.read_text(encoding="utf-8"))
        last = datetime.fromtimestamp(note.stat().st_mtime, UTC)
    except (OSError, ValueError):  # none was served yet, or a kill left half a note
        return None
    due = asyncio.run(cron.get_dates(start=last, end=now))
    if not due:
        return None
    later = f" and at {len(due) - 1} later times" if len(due) > 1 else ""
    line = f"no run began at {due[0]:%Y-%m-%d %H:%M} ({cron.timezone or 'UTC'}){later}, because "
    return Message(event="missed", dataset=data_set(root), line=line + "no schedule was served.")


async def _note_that_it_is_served(root: Path, schedule: Schedule) -> None:
    note = root / SERVED
    told = {"cron": schedule.cron, "timezone": schedule.timezone}
    note.write_text(json.dumps(told), encoding="utf-8")
    try:
        while True:
            await asyncio.sleep(NOTED_EVERY_SECONDS)
            note.touch()
    finally:
        note.touch()


async def _serve(root: Path, schedule: Schedule, deployment: RunnerDeployment) -> None:
    runner, stopped = Runner(limit=1), asyncio.Event()
    found = await runner.aadd_deployment(deployment)
    await asyncio.to_thread(free_schedule, root, found)
    serving = asyncio.create_task(runner.start())
    noting = asyncio.create_task(_note_that_it_is_served(root, schedule))
    await asyncio.sleep(0)  # until it has set Prefect's handler, which leaves a run at work behind
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    stop = asyncio.create_task(stopped.wait())
    await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
    if not serving.done():
        if runner.started:
            await runner.astop()
        else:
            serving.cancel()
    stop.cancel()
    noting.cancel()
    with suppress(asyncio.CancelledError):
        await serving

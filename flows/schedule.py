"""The line on a schedule, one run at a time."""

from __future__ import annotations

from typing import cast

import prefect
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron, Schedule
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from flows.pipeline import pipeline
from tasks.contracts.errors import UserError


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


def planned(schedule: Schedule) -> RunnerDeployment:
    """Return the flow with its schedule, as Prefect's server is to know it.

    A run that falls due while one is at work is cancelled, with that as its reason.
    """
    deployment = pipeline.to_deployment(
        name="schedule",
        schedule=schedule,
        concurrency_limit=ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
        ),
        # By module: a file would put flows/ first on sys.path, before the packages of that name.
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return cast(RunnerDeployment, deployment)


def serve(schedule: Schedule) -> None:
    """Run the line whenever the schedule says so, until this process is stopped."""
    prefect.serve(planned(schedule), limit=1, print_starting_message=False)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tasks.contracts.errors import UserError
from tests.flows.asked import ask, read


@pytest.mark.parametrize("cron", ["0 3 * * *", "*/5 8-17 * * mon-fri", "@daily"])
def test_a_schedule_is_what_was_written(cron: str) -> None:
    from flows.schedule import parse_cron

    schedule = parse_cron(cron, "Europe/Berlin")
    assert (schedule.cron, schedule.timezone) == (cron, "Europe/Berlin")


@pytest.mark.parametrize(
    ("cron", "timezone", "said"),
    [
        ("61 * * * *", None, "--cron '61"),
        ("daily", None, "--cron 'daily'"),
        ("", None, "--cron ''"),
        ("0 3 * *", None, "--cron '0 3"),
        ("0 3 * * *", "Middle/Earth", "--timezone 'Middle/Earth'"),
    ],
)
def test_what_is_no_schedule_is_said_in_a_line(cron: str, timezone: str | None, said: str) -> None:
    from flows.schedule import parse_cron

    with pytest.raises(UserError, match=said):
        parse_cron(cron, timezone)


def test_the_server_plans_runs_that_can_be_imported_from_the_root(prefect_url: str) -> None:
    """A server beside a library it does not know takes the schedule and never runs anything."""
    from flows.pipeline import pipeline
    from flows.schedule import parse_cron, planned

    deployment = planned(parse_cron("0 3 * * *", None), {"push": True})
    assert deployment.entrypoint == f"{pipeline.fn.__module__}.{pipeline.fn.__name__}"
    known: Callable[..., Any] = deployment.apply
    found = str(known())
    ask(f"{prefect_url}/deployments/{found}/schedule", min_runs=3)
    runs = ask(f"{prefect_url}/flow_runs/filter", deployments={"id": {"any_": [found]}})
    assert len(runs) >= 3
    assert {run["state_type"] for run in runs} == {"SCHEDULED"}
    assert all("T03:00:00" in run["expected_start_time"] for run in runs)
    told = read(f"{prefect_url}/deployments/{found}")
    assert told["global_concurrency_limit"]["limit"] == 1
    assert told["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def test_the_servers_pages_ask_the_server_they_come_from(prefect_url: str) -> None:
    settings = read(f"{prefect_url.removesuffix('/api')}/ui-settings")
    assert settings["api_url"] == prefect_url

"""What the commands `run` and `schedule` do, Prefect's server and settings around the flow."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from flows import prefect_server
from flows.edit_params import check_source, edit_params, edited, source_setting
from flows.project import run_lock
from flows.verdict import COLOURS, LIFT, PAGE, lines
from tasks.answer.words import MEANING
from tasks.contracts.params.line import load_params, parse_params
from tasks.lift.result import LiftResult

PARAMS = Path("params.yaml")


@dataclass(frozen=True)
class Wishes:
    """What a person asked of one run."""

    source: Path | None
    settings: tuple[str, ...]
    from_stage: str | None
    until: str | None
    force: bool
    planned: bool = True


def run_line(root: Path, wishes: Wishes) -> None:
    """Write the settings, run the flow and show what came out.

    Raises:
        UserError: anything a person can mend; params.yaml is written only when all is well.
    """
    started = time.monotonic()
    with run_lock(root):  # nobody else's params come between writing and running
        load_params(root / PARAMS)
        settings = list(wishes.settings)
        former: str | None = None
        if wishes.source is not None:
            now = load_params(root / PARAMS).ingest.source
            settings.append(source_setting(wishes.source, root))
            if (root / now).resolve() != wishes.source.resolve():
                former = now
        if former is not None and wishes.source is not None and wishes.planned:
            from flows.plan import plan_for, show

            plan = plan_for(wishes.source, root, wishes.settings, Console())
            show(plan, Console(highlight=False), hint=None)
            settings = plan.settings + settings
        text = edited((root / PARAMS).read_text(encoding="utf-8"), settings)
        if wishes.from_stage in (None, "ingest"):
            check_source(root / parse_params(yaml.safe_load(text)).ingest.source, root)

        # Prefect's log lines go to its page; the terminal has the stages' own.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        os.environ.setdefault("PREFECT_SERVER_REGISTER_BLOCKS_ON_START", "false")  # saves 3 s
        with Console().status("starting Prefect"):
            wait = prefect_server.ready(root, None, "--no-ui", "--no-scheduler")

            from flows.pipeline import pipeline, selected

            selected(wishes.from_stage, wishes.until)
            edit_params(root / PARAMS, settings)
            if former is not None:
                from flows.plan import set_reports_aside

                if aside := set_reports_aside(root, former):
                    Console().print(f"the reports of {former} are in {aside} now", markup=False)
            wait()
        states = pipeline(wishes.from_stage, wishes.until, wishes.force)
        _show_summary(root, states, time.monotonic() - started)


def serve_line(root: Path, cron: str, timezone: str | None, port: int) -> None:
    """Serve the flow on a schedule until stopped.

    Raises:
        UserError: no cron expression or time zone, params.yaml is wrong, or the port is taken.
    """
    load_params(root / PARAMS)
    wait = prefect_server.ready(root, port, "--ui")

    from flows.schedule import parse_cron, serve

    schedule = parse_cron(cron, timezone)
    wait()
    page = os.environ["PREFECT_API_URL"].removesuffix("/api")
    Console().print(f"The pipeline runs at {cron!r}. Prefect's page: {page}. Stop with Ctrl-C.")
    serve(schedule)


def _show_summary(root: Path, states: dict[str, str], seconds: float) -> None:
    console = Console(highlight=False)
    took = f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    if "report" not in states:
        console.print(
            f"{', '.join(states)}: in place after {took}. `ganlift run` goes on from here."
        )
        return
    result = LiftResult.load(root / LIFT)
    first, *others = lines(result)
    console.print(
        Panel(
            f"[bold {COLOURS[result.verdict]}]{result.verdict}[/]: {MEANING[result.verdict]}\n"
            f"[bold]{escape(first)}[/]\n"
            f"{escape(chr(10).join(others))}\n\n"
            f"report   {PAGE}\n"
            "MLflow   make ui, or ganlift ui\n"
            f"took     {took}",
            title="ganlift",
            title_align="left",
            expand=False,
        )
    )

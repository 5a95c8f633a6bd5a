"""What the commands `run` and `schedule` do, Prefect's server and settings around the flow."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from flows import prefect_server
from flows.early import see_names
from flows.edit_params import check_source, edit_params, edited, source_setting
from flows.folds import ANSWERS
from flows.nights import digest_of, is_quiet
from flows.notify import failures_told
from flows.project import run_lock, schedule_lock
from flows.verdict import COLOURS, lines
from tasks.adapters.timeline import MINUTE, SHOWN_ID
from tasks.answer.words import MEANING
from tasks.contracts.errors import UserError
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
    push: bool = False


def run_line(root: Path, wishes: Wishes) -> None:
    """Write the settings, run the flow and show what came out.

    Raises:
        UserError: anything a person can mend; params.yaml is written only when all is well.
    """
    started = time.monotonic()
    # nobody else's params come between writing and running
    with failures_told(root), run_lock(root):
        before = load_params(root / PARAMS).ingest.source
        text = (root / PARAMS).read_text(encoding="utf-8")
        settings: Sequence[str] = wishes.settings
        if wishes.source is not None:
            source_setting(wishes.source, root)  # a wrong one need not wait for torch's import
            from flows.plan import settings_for

            settings = settings_for(wishes.source, root, settings, text)
        now, text = text, edited(text, settings)
        if settings and text == now:
            Console().print("params.yaml has these settings already: nothing in it changes.")
        params = parse_params(yaml.safe_load(text))
        wanted = params.ingest.source
        if wishes.source is None and wanted != before:
            Console().print(
                f"The settings of {before} are used for {wanted}; `ganlift run --source` chooses "
                "settings for it.",
                markup=False,
            )
        if wishes.from_stage in (None, "ingest"):
            check_source(root / wanted, root)
        see_names(params)

        # Prefect's log lines go to its page; the terminal has the stages' own.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        os.environ.setdefault("PREFECT_SERVER_REGISTER_BLOCKS_ON_START", "false")  # saves 3 s
        with Console().status("starting Prefect"):
            wait = prefect_server.ready(root, None, "--no-ui", "--no-scheduler")

            from flows.pipeline import pipeline, selected

            selected(wishes.from_stage, wishes.until)
            edit_params(root / PARAMS, settings)
            wait()
        states = pipeline(wishes.from_stage, wishes.until, wishes.force, wishes.push)
        _show_summary(root, states, time.monotonic() - started)


def serve_line(root: Path, cron: str, timezone: str | None, port: int) -> None:
    """Serve the flow on a schedule until stopped.

    Raises:
        UserError: no cron expression or time zone, params.yaml is wrong, the port is taken, or
            another schedule is served here.
    """
    load_params(root / PARAMS)
    with schedule_lock(root):
        wait = prefect_server.ready(root, port, "--ui")

        from flows.schedule import parse_cron, serve

        schedule = parse_cron(cron, timezone)
        wait()
        page = os.environ["PREFECT_API_URL"].removesuffix("/api")
        console = Console()
        console.print(f"The pipeline runs at {cron!r}. Prefect's page: {page}. Stop with Ctrl-C.")
        serve(root, schedule)
        console.print("The schedule has stopped. `ganlift schedule` starts it again.")


def _show_summary(root: Path, states: dict[str, str], seconds: float) -> None:
    console = Console(highlight=False)
    took = f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    last = list(states)[-1]
    if last not in ANSWERS:
        console.print(
            f"{', '.join(states)}: in place after {took}. `ganlift run` goes on from here."
        )
        return
    lift, page = ANSWERS[last]
    result = LiftResult.load(root / lift)
    first, *others = lines(result)
    news = f"{_nothing_new(root / lift)}\n" if is_quiet(states) else ""
    console.print(
        Panel(
            f"[bold {COLOURS[result.verdict]}]{result.verdict}[/]: {MEANING[result.verdict]}\n"
            f"[bold]{escape(first)}[/]\n"
            f"{escape(chr(10).join(others))}\n\n"
            f"{news}"
            f"report   {page}\n"
            "MLflow   make ui, or ganlift ui\n"
            f"took     {took}",
            title="ganlift",
            title_align="left",
            expand=False,
        )
    )


def _nothing_new(lift: Path) -> str:
    from tasks.adapters.tracking.history import run_of

    with suppress(UserError):  # a store out of reach takes nothing from the answer
        if found := run_of(digest_of(lift)):
            run_id, ended = found
            return f"news     nothing new since {run_id[:SHOWN_ID]}, {ended:{MINUTE}}"
    return "news     nothing new"

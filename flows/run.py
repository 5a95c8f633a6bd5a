"""What the commands `run` and `schedule` do, Prefect's server and settings around the flow."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from flows import prefect_server
from flows.durations import Durations
from flows.early import see_names
from flows.edit_params import check_source, edit_params, edited, source_setting
from flows.folds import ANSWERS, Visit
from flows.line import STAGES, is_all_done, laid_out, selected
from flows.nights import is_quiet, note_night, nothing_new
from flows.notify import failures_told
from flows.project import run_lock, schedule_lock
from flows.travel import push_after_run
from flows.verdict import COLOURS, lines
from flows.versions import log_line
from tasks.answer.words import MEANING
from tasks.contracts.params.line import Params, load_params, parse_params
from tasks.contracts.params.reading import read_values
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


@dataclass(frozen=True)
class Chosen:
    """What is to be written to params.yaml.

    Attributes:
        settings: as ``--set`` takes them.
        params: all there are, with these.
        source_before: the data set that params.yaml names now.
        changes: whether the file changes.
        seconds: that each stage is expected to take; none where nothing was planned.
    """

    settings: Sequence[str]
    params: Params
    source_before: str
    changes: bool
    seconds: Mapping[str, float]

    def write(self, root: Path) -> None:
        """Write the settings to params.yaml, and beside it what their plan expects."""
        edit_params(root / PARAMS, self.settings)
        Durations(root, STAGES, read_values(root / PARAMS)).expect(self.seconds)


def choose_settings(root: Path, source: Path | None, own: Sequence[str]) -> Chosen:
    """Return the settings of a run and say what they are; nothing is written yet.

    The present data set keeps its settings. Another one takes the plan, and ``own`` win.

    Raises:
        UserError: the source cannot be used, or a setting is wrong.
    """
    before = load_params(root / PARAMS).ingest.source
    text = (root / PARAMS).read_text(encoding="utf-8")
    settings: Sequence[str] = own
    seconds: Mapping[str, float] = {}
    if source is not None:
        named = source_setting(source, root)
        if yaml.safe_load(named.partition("=")[2]) == before:
            settings = (*own, named)
        else:
            from flows.plan import settings_for  # which imports torch

            settings, seconds = settings_for(source, root, own, text)
    after = edited(text, settings)
    if settings and text == after:
        Console().print("params.yaml has these settings already: nothing in it changes.")
    params = parse_params(yaml.safe_load(after))
    return Chosen(settings, params, before, text != after, seconds)


def run_line(root: Path, wishes: Wishes) -> None:
    """Write the settings, run the flow and show what came out.

    Raises:
        UserError: anything a person can mend; params.yaml is written only when all is well.
    """
    started = time.monotonic()
    # nobody else's params come between writing and running
    with failures_told(root), run_lock(root):
        chosen = choose_settings(root, wishes.source, wishes.settings)
        wanted = chosen.params.ingest.source
        if wishes.source is None and wanted != chosen.source_before:
            Console().print(
                f"The settings of {chosen.source_before} are used for {wanted}; "
                "`ganlift run --source` chooses settings for it.",
                markup=False,
            )
        if wishes.from_stage in (None, "ingest"):
            check_source(root / wanted, root)
        see_names(chosen.params)
        stages = selected(wishes.from_stage, wishes.until)
        # On a server that the user named, a run with nothing to do is seen all the same.
        if not wishes.force and not chosen.changes and not prefect_server.is_named():
            line = laid_out(root, stages, chosen.params.ingest)
            if is_all_done(root, line):
                if wishes.push:  # what an earlier one could not
                    push_after_run(root, Console())
                _show_unchanged(root, line, time.monotonic() - started)
                return

        # Prefect's log lines go to its page; the terminal has the stages' own.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        os.environ.setdefault("PREFECT_SERVER_REGISTER_BLOCKS_ON_START", "false")  # saves 3 s
        with Console().status("starting Prefect"):
            wait = prefect_server.ready(root, None, "--no-ui", "--no-scheduler")

            from flows.pipeline import pipeline

            chosen.write(root)
            wait()
        states = pipeline(wishes.from_stage, wishes.until, wishes.force, wishes.push)
        _show_summary(root, states, time.monotonic() - started)


def _show_unchanged(root: Path, line: Sequence[Visit], seconds: float) -> None:
    """Note and show a run with nothing to do, which costs neither Prefect's import nor a server."""
    states = {visit.name: "unchanged" for visit in line}
    last = line[-1].name
    if last in ANSWERS:
        log_line(root)  # of `dvc repro`, say, which brought everything up to date
        if is_quiet(states):
            note_night(root, root / ANSWERS[last][0])
    Console(highlight=False).print(f"unchanged: {', '.join(states)}")
    _show_summary(root, states, seconds)


def serve_line(
    root: Path,
    cron: str,
    timezone: str | None,
    port: int,
    source: Path | None,
    wishes: Mapping[str, object],
) -> None:
    """Serve the flow on a schedule until stopped.

    Args:
        root: the project's folder.
        cron: minute, hour, day of month, month and day of week.
        timezone: UTC by default.
        port: of Prefect's page on 127.0.0.1.
        source: written to params.yaml first, as `run_line` does; None keeps what stands there.
        wishes: what every run is asked for, as parameters of the flow.

    Raises:
        UserError: no cron expression or time zone, params.yaml or the source is wrong, the port is
            taken, another schedule is served here, or a run is at work where params.yaml is to be
            written.
    """
    load_params(root / PARAMS)
    with schedule_lock(root):
        with run_lock(root) if source else nullcontext():
            chosen = choose_settings(root, source, ())
            see_names(chosen.params)
            wait = prefect_server.ready(root, port, "--ui")

            from flows.schedule import parse_cron, serve

            schedule = parse_cron(cron, timezone)
            chosen.write(root)
        wait()
        page = os.environ["PREFECT_API_URL"].removesuffix("/api")
        console = Console()
        console.print(f"The pipeline runs at {cron!r}. Prefect's page: {page}. Stop with Ctrl-C.")
        serve(root, schedule, wishes)
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
    news = f"news     {nothing_new(root, root / lift)}\n" if is_quiet(states) else ""
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

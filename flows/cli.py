"""``ganlift``: the command line. Every tool is imported when its command runs, not before."""

from __future__ import annotations

import logging
import shlex
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from flows.cli_results import results
from flows.cli_versions import versions
from flows.project import enter_project
from tasks.contracts.boundary import boundary
from tasks.contracts.proxies import reach_this_machine_directly

STOPPING = (signal.SIGTERM, signal.SIGHUP)  # `kill` and a closed terminal, after which we clean up
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="Use this value of params.yaml; a run writes it there. May be given several times.",
    ),
]
Push = Annotated[
    bool,
    typer.Option("--push", help="Copy data and models to the remote in the end: see ganlift push."),
]
Commit = Annotated[
    bool,
    typer.Option(
        "--commit",
        help="Commit params.yaml, dvc.lock and the small reports to the Git branch "
        "ganlift/nightly; your own branch, index and files stay as they are.",
    ),
]
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Find out whether images made by a GAN improve your classifier, by how much, and how "
    "certain that is.",
    epilog="Example: [bold]ganlift run --source my_images --set ingest.image_size=32[/bold]",
)


def main() -> None:
    """Run the command line; a person's mistake is one line, not a trace."""
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    reach_this_machine_directly()
    logging.raiseExceptions = False  # Prefect's log that cannot be sent is no news to a person
    try:
        with boundary():
            app()
    except SystemExit as ending:
        if ending.code in [128 + number for number in (signal.SIGINT, *STOPPING)]:
            print("stopped", file=sys.stderr)
        raise


def _version(asked: bool) -> None:
    if asked:
        print(f"ganlift {version('ganlift')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: [bold]ganlift init ~/tiles[/]")
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to make; it must be empty or not there.")
    ],
) -> None:
    """Make a project folder of its own, so that several data sets live side by side."""
    from flows.new_project import make_project

    folder = folder.expanduser()
    make_project(folder)
    print(f"project made: cd {shlex.quote(str(folder))} && ganlift run --source YOUR_IMAGES")


@app.command(
    epilog="Example: [bold]ganlift run --source my_images --set train_gan.total_kimg=40[/]"
)
def run(
    source: Annotated[
        Path | None,
        typer.Option(
            help="Your images: a folder that holds one folder for each class, perhaps below "
            "train/, val/ and test/; or one with metadata.csv; or an archive. Written to "
            "params.yaml, with the settings that suit them where they are another data set than "
            "before: see ganlift plan. --preset and --set win over these."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Write a whole recipe for the GAN to params.yaml: fast, balanced or best by the "
            "time you have; few for 5 to 10 images of each class; rare for classes with far fewer "
            "images than others; unlabelled for images without a label; related for images of "
            "other classes; translator for images of another domain; private, with a guarantee; "
            "plain, a DCGAN; vae, an autoencoder; dcgan, wgan, wgan_gp, sn_hinge, progressive and "
            "stylegan as their papers have them. "
            "--set comes after it.",
        ),
    ] = None,
    settings: Settings = None,
    from_stage: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STAGE",
            help="Start at this stage and use the results of earlier stages as they are.",
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Stop when this stage is done.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Run every stage, even if nothing has changed. Finished GANs and classifier runs "
            "in .ganlift/kept are still used; delete that folder to train them again.",
        ),
    ] = False,
    push: Push = False,
    commit: Commit = False,
) -> None:
    """Run the pipeline from images to verdict. Stages that are up to date are not run again."""
    from flows.presets import preset_settings
    from flows.run import Wishes, run_line

    source = Path.cwd() / source.expanduser() if source else None
    written = (*(preset_settings(preset) if preset else ()), *(settings or ()))
    root = enter_project()
    if commit:
        from flows.nightly_commit import commit_night, see_git

        see_git(root)
    run_line(root, Wishes(source, written, from_stage, until, force, push))
    if commit:
        print(commit_night(root))


@app.command(epilog="Example: [bold]ganlift plan --source my_images[/]")
def plan(
    source: Annotated[
        Path | None,
        typer.Option(help="Your images, as for ganlift run; by default those of params.yaml."),
    ] = None,
    settings: Settings = None,
) -> None:
    """Look at images and say what a run would choose, take and find. Nothing is written."""
    source = Path.cwd() / source if source else None
    root = enter_project()
    from flows.plan import show_plan

    show_plan(root, source, settings or ())


@app.command(name="filter", epilog="Example: [bold]ganlift filter --preview[/]")
def filter_pool(
    preview: Annotated[
        bool,
        typer.Option(
            "--preview",
            help="Write a page that shows real, accepted and rejected images of each class, with "
            "their scores.",
        ),
    ] = False,
) -> None:
    """Run the pipeline up to the filter; nothing is merged and no classifier is retrained."""
    from flows.run import Wishes, run_line

    root = enter_project()
    run_line(root, Wishes(None, (), None, "quality_filter", False))
    if preview:
        from flows.filter_preview import write_preview

        print(write_preview())


@app.command(
    epilog='Example: [bold]ganlift schedule --cron "0 3 * * *" --timezone Europe/Berlin[/]'
)
def schedule(
    cron: Annotated[str, typer.Option(help="Minute, hour, day of month, month, day of week.")],
    timezone: Annotated[
        str | None, typer.Option(help="Time zone, for example Europe/Berlin; UTC by default.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of Prefect's page on 127.0.0.1.")
    ] = 4200,
    source: Annotated[
        Path | None,
        typer.Option(
            help="Your images, as for ganlift run: written to params.yaml before the schedule is "
            "served, with the settings that suit them; by default those of params.yaml."
        ),
    ] = None,
    push: Push = False,
    commit: Commit = False,
    keep: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="After each run, do as ganlift gc --keep N."),
    ] = None,
    keep_days: Annotated[
        float | None,
        typer.Option(min=0, metavar="D", help="After each run, do as ganlift gc --keep-days D."),
    ] = None,
) -> None:
    """Run the pipeline on a schedule, one run at a time, until stopped with Ctrl-C.

    A Prefect server is started too, unless PREFECT_API_URL names one that is running.
    """
    from flows.run import serve_line

    source = Path.cwd() / source.expanduser() if source else None
    root = enter_project()
    if commit:
        from flows.nightly_commit import see_git

        see_git(root)
    wishes = {"push": push, "commit": commit, "keep": keep, "keep_days": keep_days}
    serve_line(root, cron, timezone, port, source, wishes)


@app.command(epilog="Example: [bold]ganlift notify https://chat.example.org/hooks/KEY --test[/]")
def notify(
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL]",
            help="Webhook of Slack, Mattermost or your own; kept in .ganlift, readable by you "
            "alone. Without it, ganlift says what is set and how the last message went.",
        ),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Tell nobody any more.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Send a message now.")] = False,
) -> None:
    """Tell somebody when a run fails, the verdict changes, or a scheduled run did not begin."""
    root = enter_project()
    from flows.notify import how_it_is, set_webhook, stop_telling, try_webhook

    if off:
        stop_telling(root)
    if url is not None:
        set_webhook(root, url)
    print(try_webhook(root) if test else how_it_is(root))


app.add_typer(results)
app.add_typer(versions)

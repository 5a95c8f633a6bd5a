"""``ganlift``: the command line. Every tool is imported when its command runs, not before."""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from flows.project import find_root
from tasks.contracts.errors import UserError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Does GAN-made data make your classifier better, by how much, and how sure are we?",
    epilog="Example: [bold]ganlift run --source my_images --set ingest.image_size=32[/bold]",
)


def main() -> None:
    """Run the command line; a person's mistake is one line, not a trace."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # `kill` cleans up too
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as ending:
        if ending.code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            print("stopped", file=sys.stderr)
        raise


def _version(asked: bool) -> None:
    if asked:
        print(f"ganlift {version('ganlift')}")
        raise typer.Exit


def _enter_project() -> Path:
    root = find_root(Path.cwd())
    os.chdir(root)
    return root


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(
    epilog="Example: [bold]ganlift run --source my_images --set train_gan.total_kimg=40[/]"
)
def run(
    source: Annotated[
        Path | None,
        typer.Option(
            help="Folder with one folder of images a class (train/ and test/ above them are "
            "respected). Written to params.yaml. What matters beside it: ingest.image_size (8 "
            "suits digits alone), ingest.per_class (null uses every image), train_gan.total_kimg."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Write a whole recipe for train_gan to params.yaml, before --set: plain, few, "
            "fast, balanced, best or vae.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="SECTION.KEY=VALUE", help="Change params.yaml first. Repeatable."
        ),
    ] = None,
    from_stage: Annotated[
        str | None,
        typer.Option("--from", metavar="STAGE", help="Start here, taking what is before as it is."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Stop after this stage.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Run each stage, even if nothing has changed.")
    ] = False,
) -> None:
    """Run the line: images in, verdict out. Stages that are up to date are not run again."""
    from flows.presets import preset_settings
    from flows.run import Wishes, run_line

    source = Path.cwd() / source if source else None
    written = (*(preset_settings(preset) if preset else ()), *(settings or ()))
    run_line(_enter_project(), Wishes(source, written, from_stage, until, force))


@app.command(name="filter", epilog="Example: [bold]ganlift filter --preview[/]")
def filter_pool(
    preview: Annotated[
        bool,
        typer.Option(
            "--preview",
            help="Write a page of accepted and rejected images beside their scores, by class.",
        ),
    ] = False,
) -> None:
    """Run the line up to the filter: nothing is merged yet and no classifier retrained."""
    from flows.run import Wishes, run_line

    root = _enter_project()
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
        str | None, typer.Option(help="Time zone by name; UTC if left out.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Of Prefect's page on 127.0.0.1.")
    ] = 4200,
) -> None:
    """Run the line on a schedule, one run at a time, until stopped with Ctrl-C.

    Prefect's server is started too, unless PREFECT_API_URL names one.
    """
    from flows.run import serve_line

    serve_line(_enter_project(), cron, timezone, port)


@app.command(epilog="Example: [bold]ganlift ui --port 5050[/]")
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="On 127.0.0.1.")] = 5000,
) -> None:
    """Open MLflow's page with every run, until stopped with Ctrl-C."""
    _enter_project()
    from tasks.adapters.tracking.server import serve

    serve(port)


@app.command(epilog="Example: [bold]ganlift grid models/gan --seed 0 --kind interpolation[/]")
def grid(
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder of a checkpoint, or of several by their GAN seeds.")
    ],
    seed: Annotated[
        int | None, typer.Option(help="Which GAN, where the folder holds several.")
    ] = None,
    kind: Annotated[
        str, typer.Option(help="classes, interpolation, truncation or style-mixing.")
    ] = "classes",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="By default named by the kind, here.")
    ] = None,
    scale: Annotated[
        int | None, typer.Option(min=1, max=64, help="Enlarge the pixels by this whole number.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
) -> None:
    """Draw what a GAN has learned: its classes, or walks through them."""
    from flows.grid import Frame, draw_checkpoint

    print(draw_checkpoint(checkpoint, seed, Frame(kind, out, scale, force)))


@app.command(epilog="Example: [bold]ganlift predict new_photos --out classes.csv[/]")
def predict(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Its images, at any depth.")],
    out: Annotated[Path, typer.Option(metavar="FILE.csv")] = Path("predictions.csv"),
    version: Annotated[
        int | None, typer.Option("--model", metavar="VERSION", help="By default the champion.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file.")] = False,
) -> None:
    """Tell the classes of images with the champion, a classifier that a run has shown to help."""
    folder, out = Path.cwd() / folder, Path.cwd() / out
    _enter_project()
    from flows.predict import Order, predict_folder

    predict_folder(Order(folder, out, version, force))


@app.command(epilog="Example: [bold]ganlift compare latest~1 latest[/]")
def compare(
    runs: Annotated[list[str], typer.Argument(help="MLflow run ids, or how they begin; latest~1.")],
) -> None:
    """Set the reports of several runs side by side, from MLflow."""
    _enter_project()
    from flows.compare import compare_runs

    compare_runs(runs)


@app.command(epilog="Example: [bold]ganlift track[/]")
def track() -> None:
    """Log to MLflow what it missed while its server could not be reached."""
    _enter_project()
    from flows.line_file import paths
    from tasks.adapters.tracking.past_runs import log_missing
    from tasks.contracts.params.line import load_params

    logged = log_missing(dataset=load_params().ingest.source, paths=paths())
    print("\n".join(logged) if logged else "nothing was missing")


@app.command(epilog="Example: [bold]ganlift docs[/]")
def docs() -> None:
    """Build Great Expectations' own Data Docs of the real images (they load from a CDN)."""
    _enter_project()
    from flows.line_file import paths
    from tasks.adapters.expectations import build_data_docs
    from tasks.contracts.params.line import load_params

    where = paths()
    page = build_data_docs(
        train=where["train"],
        val=where["val"],
        test=where["test"],
        out=Path(".ganlift/data_docs"),
        params=load_params().validate,
    )
    print(page)

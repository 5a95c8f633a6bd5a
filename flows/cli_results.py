"""The commands that show, hand out and check what runs have left; `flows.cli` takes them in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.project import enter_project

results = typer.Typer()


@results.command(epilog="Example: [bold]ganlift ui --port 5050[/]")
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Serve MLflow's pages of all runs until stopped with Ctrl-C."""
    enter_project()
    from tasks.adapters.tracking.server import serve

    serve(port)


@results.command(epilog="Example: [bold]ganlift grid models/gan --seed 0 --kind interpolation[/]")
def grid(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="Folder of a checkpoint, or a folder of several, one for each GAN seed."
        ),
    ],
    seed: Annotated[
        int | None, typer.Option(help="Which GAN, if the folder holds several.")
    ] = None,
    kind: Annotated[
        str, typer.Option(help="What to draw: classes, interpolation, truncation or style-mixing.")
    ] = "classes",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="File to write; by default KIND.png in the current folder."
        ),
    ] = None,
    scale: Annotated[
        int | None, typer.Option(min=1, max=64, help="Enlarge each pixel to a square of this size.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Draw images of a trained GAN: every class, or interpolations between images."""
    from flows.grid import Frame, draw_checkpoint

    print(draw_checkpoint(checkpoint, seed, Frame(kind, out, scale, force)))


@results.command(epilog="Example: [bold]ganlift predict new_photos --out classes.csv[/]")
def predict(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of images, at any depth.")],
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="File to write.")] = Path(
        "predictions.csv"
    ),
    version: Annotated[
        int | None, typer.Option("--model", metavar="VERSION", help="By default the champion.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Classify images with the champion: the best classifier for which GAN images helped."""
    folder, out = Path.cwd() / folder, Path.cwd() / out
    enter_project()
    from flows.predict import Order, predict_folder

    predict_folder(Order(folder, out, version, force))


@results.command(epilog="Example: [bold]ganlift translate scans as_photos --looks 3[/]")
def translate(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of images of the other domain.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder to write: a new one, or an empty one.")
    ],
    looks: Annotated[
        int, typer.Option(min=1, max=1000, help="Images to make of each; the GANs take turns.")
    ] = 1,
    seed: Annotated[
        int | None, typer.Option(help="Which GAN makes them all; by default every one does.")
    ] = None,
) -> None:
    """Turn images of the other domain into such of yours, by the translators of the last run."""
    folder, out = Path.cwd() / folder, Path.cwd() / out
    enter_project()
    from flows.translate import Order, translate_folder

    translate_folder(Order(folder, out, looks, seed))


@results.command(epilog="Example: [bold]ganlift export accepted new_images --format folder[/]")
def export(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="accepted: the synthetic images that passed the filter; merged: these beside the "
            "real training images; real: the three splits; model: the classifier of the winning "
            "arm as safetensors, with a loader; private: all synthetic images and the generators, "
            "where these were trained with differential privacy, and what that promises.",
        ),
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to write: a new one, or an empty one.")
    ],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="Of images. folder (default): one folder of PNGs for each class, and "
            "metadata.csv; parquet: with the PNGs inside, as datasets.load_dataset reads it; npz: "
            "arrays of NumPy.",
        ),
    ] = None,
) -> None:
    """Write images, or a model, in a form that other tools read. Nothing is ever written over."""
    folder = Path.cwd() / folder
    enter_project()
    if what == "model" and form is None:
        from flows.export_model import export_model

        print(export_model(folder))
    elif what == "private":
        from flows.export_private import export_private

        print(export_private(folder, form or "folder"))
    else:
        from flows.export import export_images

        print(export_images(what, folder, form or "folder"))


@results.command(epilog="Example: [bold]ganlift compare latest~1 latest[/]")
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(help="Run ids of MLflow or their beginnings; or latest, latest~1."),
    ],
) -> None:
    """Show the results of several runs side by side."""
    enter_project()
    from flows.compare import compare_runs

    compare_runs(runs)


@results.command(epilog="Example: [bold]ganlift history --html history.html[/]")
def history(
    page: Annotated[
        Path | None,
        typer.Option(
            "--html", metavar="FILE.html", help="Write a page that draws the lift over time."
        ),
    ] = None,
) -> None:
    """Show every result of this data set in the order of time, and runs that brought none."""
    page = Path.cwd() / page.expanduser() if page else None
    root = enter_project()
    from flows.history import show_history

    show_history(root, page)


@results.command(epilog="Example: [bold]ganlift track[/]")
def track() -> None:
    """Log to MLflow the results that it missed while its server could not be reached."""
    root = enter_project()
    from flows.folds import see_line
    from flows.line_file import paths
    from flows.versions import log_missing_lines
    from tasks.adapters.tracking.past_runs import log_missing
    from tasks.contracts.params.line import load_params

    where = paths()
    see_line(where["gan_metrics"])
    logged = log_missing(dataset=load_params().ingest.source, paths=where)
    logged += log_missing_lines(root)
    print("\n".join(logged) if logged else "nothing was missing")


@results.command(epilog="Example: [bold]ganlift share http://127.0.0.1:5000[/]")
def share(
    server: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="Of the server. MLFLOW_TRACKING_USERNAME and _PASSWORD are yours."
        ),
    ],
    database: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar="MLFLOW_BACKEND_STORE_URI",
            help="Of the server's own database; PGPASSWORD is its password.",
        ),
    ] = "postgresql://mlflow@127.0.0.1/mlflow",
) -> None:
    """Copy this project's own MLflow store to a shared server; nothing is removed or copied twice.

    Runs keep their ids, and registered models their versions and champions.
    """
    enter_project()
    from tasks.adapters.tracking.failures import shown
    from tasks.adapters.tracking.share import share as copy

    for line in copy(server, database):
        print(line, flush=True)
    print(f"To use it from now on: export MLFLOW_TRACKING_URI={shown(server)}")


@results.command(epilog="Example: [bold]ganlift docs[/]")
def docs() -> None:
    """Build the Data Docs of Great Expectations; its pages load styles from the internet."""
    enter_project()
    from flows.line_file import paths
    from tasks.adapters.expectations import build_data_docs
    from tasks.adapters.real_suites import real_suites
    from tasks.contracts.image_set import ImageSet
    from tasks.contracts.params.line import load_params
    from tasks.data.pixel_stats import describe

    where = paths()
    frames = {name: describe(ImageSet.load(where[name])) for name in ("train", "val", "test")}
    suites = real_suites(frames, load_params().validate)
    print(build_data_docs(suites, Path(".ganlift/data_docs")))


@results.command(epilog="Example: [bold]ganlift doctor[/]")
def doctor() -> None:
    """Look at what a run needs of this machine and project, and say how to mend what is amiss."""
    root = enter_project()
    from flows.doctor import show

    if not show(root):
        raise typer.Exit(1)

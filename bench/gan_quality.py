"""How good are the GANs? ``python -m bench.gan_quality --help``; see bench/README.md.

Every figure is of real images that no GAN saw, and none of them is a test image.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bench.contestants import DEFAULT, PLAIN, TECHNIQUES, Overrides, contestant, settings
from bench.datasets import ROOT, TASKS, load_cut
from bench.gan_jobs import CODE, Job
from bench.gan_tables import REAL, failures, quality_table, reached_table, techniques_table
from bench.ledger import Ledger, Row, code_digest, work_off
from tasks.contracts.errors import UserError
from tasks.contracts.params.line import load_params

_SMALL = [name for name, task in TASKS.items() if not task.large]
_TWO = ["digits-20", "mnist-20"]


@dataclass(frozen=True)
class Options:
    """What both modes take."""

    tasks: list[str] | None
    seeds: int
    classifiers: int
    kimg: float | None
    looks: int
    jobs: int
    images: Path
    scratch: Path
    print_only: bool
    fresh: bool


app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)


@app.callback()
def _options(
    context: typer.Context,
    tasks: Annotated[str | None, typer.Option(help=f"Of {', '.join(TASKS)}.")] = None,
    seeds: Annotated[int, typer.Option(help="GANs of each kind on each task.")] = 3,
    classifiers: Annotated[int, typer.Option(help="Classifiers trained on each set.")] = 2,
    kimg: Annotated[
        float | None, typer.Option(help="Budget; that of params.yaml if unset.")
    ] = None,
    looks: Annotated[int, typer.Option(min=1, help="Evaluations along a training.")] = 8,
    jobs: Annotated[int, typer.Option(help="Processes, one thread each.")] = 2,
    images: Annotated[Path, typer.Option(help="Holds mnist-png and cifar10-jpg.")] = (
        ROOT.parent / "images"
    ),
    scratch: Annotated[Path, typer.Option(help="Results and image sets are kept here.")] = (
        ROOT / ".ganlift" / "bench"
    ),
    print_only: Annotated[bool, typer.Option("--print", help="Tables of what is done.")] = False,
    fresh: Annotated[bool, typer.Option(help="Do again what older code did.")] = False,
) -> None:
    names = tasks.split(",") if tasks else None
    unknown = [name for name in names or [] if name not in TASKS]
    if unknown:
        raise typer.BadParameter(f"no task {unknown[0]!r}; there are {', '.join(TASKS)}")
    context.obj = Options(
        names, seeds, classifiers, kimg, looks, jobs, images, scratch, print_only, fresh
    )


@app.command()
def table(
    context: typer.Context,
    gans: Annotated[str, typer.Option(help="Presets, or default: params.yaml.")] = (
        f"{PLAIN},{DEFAULT}"
    ),
) -> None:
    """Compare whole recipes: the plain DCGAN and the default, image for image."""
    entries = {name: contestant(name) for name in gans.split(",")}
    rows = _rows(context.obj, _SMALL, entries)
    parts = (quality_table(rows), reached_table(rows), failures(rows))
    print(*filter(None, parts), sep="\n\n")


@app.command()
def techniques(
    context: typer.Context,
    names: Annotated[str | None, typer.Option(help="Some of them, with ; between.")] = None,
) -> None:
    """Switch each technique on or off in the default."""
    chosen = names.split(";") if names else list(TECHNIQUES)
    unknown = [name for name in chosen if name not in TECHNIQUES]
    if unknown:
        raise typer.BadParameter(f"no technique {unknown[0]!r}; there are {'; '.join(TECHNIQUES)}")
    rows = _rows(context.obj, _TWO, {DEFAULT: {}} | {name: TECHNIQUES[name] for name in chosen})
    print(*filter(None, (techniques_table(rows), failures(rows))), sep="\n\n")


def _rows(options: Options, usual: list[str], entries: dict[str, Overrides]) -> list[Row]:
    """Do what is not done yet, on the tasks asked for or the usual ones; return rows in order."""
    tasks = options.tasks or usual
    jobs = list(_jobs(options, tasks, entries))
    ledger = Ledger(options.scratch / "gan_quality.jsonl", code_digest(*CODE))
    missing = ledger.missing(jobs, fresh=options.fresh)
    if not options.print_only and missing:
        for name in tasks:  # once, not in every process
            load_cut(name, missing[0].params, options.images, options.scratch)
        work_off(missing, ledger, options.jobs)
    rows = ledger.find(jobs)
    _note(rows, len(jobs))
    return rows


def _jobs(options: Options, tasks: Sequence[str], entries: dict[str, Overrides]) -> Iterator[Job]:
    params = load_params(ROOT / "params.yaml")
    kimg = options.kimg or params.train_gan.total_kimg
    if kimg is None:
        raise typer.BadParameter("params.yaml has a budget of minutes; give --kimg")
    gans = {name: settings(params.train_gan, own, kimg=kimg) for name, own in entries.items()}
    for task in tasks:
        place = (params, options.images, options.scratch, options.looks)
        yield Job(task, REAL, None, 0, options.seeds, *place)
        for name, gan in gans.items():
            for seed in range(options.seeds):
                yield Job(task, name, gan, seed, options.classifiers, *place)


def _note(rows: Sequence[Row], wanted: int) -> None:
    codes = {row["code"] for row in rows}
    print(f"{len(rows)} of {wanted} jobs done, by {len(codes)} version(s) of the code.\n")


def main() -> None:
    """Run the command line."""
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

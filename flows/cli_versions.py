"""The commands by which versions come and go; `flows.cli` takes them in."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.project import enter_project

versions = typer.Typer()


@versions.command(epilog="Example: [bold]ganlift checkout latest~1[/]")
def checkout(
    run: Annotated[
        str,
        typer.Argument(
            help="Run id of MLflow or its beginning; or latest, or latest~1 for the one before."
        ),
    ],
) -> None:
    """Bring back the settings, data, models and reports of a logged run, all of them or none.

    Work that neither Git nor a logged run holds is never written over.
    """
    root = enter_project()
    from flows.checkout import check_out

    print("\n".join(check_out(root, run)))


@versions.command(epilog="Example: [bold]ganlift gc --keep 30 --keep-days 90[/]")
def gc(
    keep: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Keep the newest N results of each data set."),
    ] = None,
    keep_days: Annotated[
        float | None,
        typer.Option(min=0, metavar="D", help="Keep the results of the last D days."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Free what no kept result needs: runs and models of MLflow, data and models in DVC's cache.

    It shows what would go, and asks. The champion always stays, and so do the project's files,
    what Git's branches and tags name, and data of your own that DVC keeps.
    """
    root = enter_project()
    from flows.gc import free, plan
    from tasks.adapters.tracking.retention import Wanted

    wanted = Wanted(keep, keep_days)
    found = plan(root, wanted)
    print("\n".join(found.lines()))
    if found.is_empty:
        print("There is nothing to free.")
    elif yes or typer.confirm("Free this?"):
        free(root, wanted)
        print("Freed.")

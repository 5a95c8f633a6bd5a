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

"""The commands by which versions come and go; `flows.cli` takes them in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.project import enter_project

versions = typer.Typer()
remote = typer.Typer(invoke_without_command=True)
versions.add_typer(remote, name="remote", epilog="Example: [bold]ganlift remote add /mnt/nas[/]")


@remote.callback()
def show_remote(context: typer.Context) -> None:
    """Say where versions of data and models go, or set it."""
    if context.invoked_subcommand is not None:
        return
    root = enter_project()
    from flows.remote import remotes

    known = remotes(root)
    for one in known:
        use = "push and pull use it" if one.is_default else "not the default"
        print(f"{one.name}: {one} ({use})")
    if not known:
        print("No remote is set. `ganlift remote add URL` sets one.")


@remote.command(epilog="Example: [bold]ganlift remote add s3://bucket/tiles[/]")
def add(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="A folder, best on another disk; or s3://bucket/path, gs://bucket/path, "
            "azure://container/path. Never with a key in it.",
        ),
    ],
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint-url", metavar="URL", help="Of an S3 server that is your own."),
    ] = None,
) -> None:
    """Let versions go there: written to .dvc/config, which Git tracks, so a clone knows it too."""
    folder = None if "://" in url else Path.cwd() / Path(url).expanduser()
    root = enter_project()
    from flows.remote import add_remote

    added = add_remote(root, str(folder or url), endpoint)
    print(f"`ganlift push` copies versions to {added}, and `ganlift pull` brings them back.")


@versions.command(epilog="Example: [bold]ganlift push[/]")
def push() -> None:
    """Copy the data and models of the present results to the remote."""
    root = enter_project()
    from flows import travel

    print("\n".join(travel.push(root)))


@versions.command(epilog="Example: [bold]git pull && ganlift pull[/]")
def pull() -> None:
    """Bring the data and models that dvc.lock tells of from the remote, and put them in place.

    What the pipeline did not write is never written over.
    """
    root = enter_project()
    from flows import travel

    print("\n".join(travel.pull(root)))


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

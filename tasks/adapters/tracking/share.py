"""Copying the project's own store to a shared MLflow server, as often as wished.

MLflow has no such command: its own way makes new runs with new ids, which would break every link,
`ganlift compare ID` and what a registered version says of its run. So rows are copied from database
to database by MLflow's own table definitions, and files through the server, which alone knows where
they lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from urllib.parse import urlsplit

from tasks.adapters.tracking.failures import explain, mend_for, shown
from tasks.adapters.tracking.rows import Sides, find
from tasks.adapters.tracking.share_models import copy_models
from tasks.adapters.tracking.share_runs import Place, copy_runs
from tasks.adapters.tracking.store import Store, home, local_uri, quick
from tasks.contracts.boundary import disk_error
from tasks.contracts.errors import UserError

_UPLOAD_SECONDS = 120  # of one request: the server answers when the bucket has the file
_ANOTHER = "Give the one that the server was started with, as --database"


def share(server: str, database: str) -> Iterator[str]:
    """Copy what the server does not have yet, and yield a line for each thing that was copied.

    A run is written in one transaction after its files are there, so whatever breaks off can be
    repeated, and what was copied before is not copied again. Nothing in the project's own store
    is changed or removed. Left out are runs, models and versions that were deleted, runs that have
    not ended, and models without a run.

    Args:
        server: its address, ``http://…``; user and password are MLflow's own settings.
        database: the server's, as SQLAlchemy writes addresses; what it leaves out is taken from
            PostgreSQL's own settings, such as ``PGPASSWORD``.

    Raises:
        UserError: there is no store here, the server or its database cannot be used, or they are
            not of one version or do not belong together.
    """
    if not (home() / "mlflow.db").is_file():
        raise UserError(str(home() / "mlflow.db"), "there is no store", "Run `ganlift run` first")
    if urlsplit(server).scheme not in ("http", "https"):
        raise UserError(shown(server), "not the address of a server", "Give it as http://HOST:PORT")
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    here, there = Store(local_uri(), forgiving=False), Store(server, forgiving=False)
    try:
        with quick(_UPLOAD_SECONDS):
            here.client()
            there.client()
            sides = Sides(here, there, create_engine(local_uri()), create_engine(database))
            _check_versions(sides)
            yield from _everything(sides)
    except UserError:
        raise
    except ArgumentError:
        mend = "Give it as postgresql://USER@HOST:PORT/NAME"
        raise UserError(shown(database), "not the address of a database", mend) from None
    except Exception as error:
        if told := disk_error(error):
            raise told from error
        in_database = isinstance(error, SQLAlchemyError | ModuleNotFoundError)
        again = "then repeat the command: what was copied is not copied twice"
        raise UserError(
            "sharing",
            explain(database if in_database else server, error),
            f"{mend_for(error)}, {again}",
        ) from error


def _everything(sides: Sides) -> Iterator[str]:
    copied = False
    for place in _places(sides):
        for line in copy_runs(sides, place):
            copied = True
            yield line
    for line in copy_models(sides):
        copied = True
        yield line
    if not copied:
        yield "nothing was missing there"


def _check_versions(sides: Sides) -> None:
    """Refuse a database whose tables are not those of this MLflow."""
    from sqlalchemy import inspect, text

    heads = []
    for engine in (sides.source, sides.target):
        if not inspect(engine).has_table("alembic_version"):
            raise UserError(sides.database, "it holds no tables of MLflow", _ANOTHER)
        with engine.connect() as connection:
            found = connection.execute(text("SELECT version_num FROM alembic_version"))
            heads.append(found.scalar_one())
    if heads[0] != heads[1]:
        raise UserError(
            sides.database,
            f"its tables are of version {heads[1]}, those of this project of {heads[0]}",
            f"Run the server with this project's MLflow, {version('mlflow')}",
        )


def _places(sides: Sides) -> Iterator[Place]:
    """Yield every experiment, made by the server where need be: who copies owns what is new."""
    here, there = sides.here.client(), sides.there.client()
    for ours in here.search_experiments():
        theirs = there.get_experiment_by_name(ours.name)
        if theirs is None:
            theirs = there.get_experiment(there.create_experiment(ours.name, tags=ours.tags))
        elif theirs.lifecycle_stage == "deleted":
            there.restore_experiment(theirs.experiment_id)
        place = Place(
            name=ours.name,
            here=int(ours.experiment_id),
            there=int(theirs.experiment_id),
            files_here=ours.artifact_location,
            files_there=theirs.artifact_location,
        )
        with sides.target.connect() as connection:
            found = find(connection, "experiments", "experiment_id", place.there)
        if [row["name"] for row in found] != [ours.name]:
            raise UserError(
                sides.database,
                f"not the database of {shown(sides.there.uri)}",
                _ANOTHER,
            )
        yield place

"""Rows of the databases behind two stores, by MLflow's own definitions of its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.adapters.tracking.failures import shown
from tasks.adapters.tracking.store import Store

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

Row = dict[str, Any]  # by the names of MLflow's columns; a number, a text, a bool or None each


@dataclass(frozen=True)
class Sides:
    """The two stores of a copying, each with its database."""

    here: Store
    there: Store
    source: Engine
    target: Engine

    @property
    def database(self) -> str:
        """The address of the target, without its password."""
        return shown(self.target.url.render_as_string(hide_password=True))


def find(connection: Connection, table: str, column: str, *values: object) -> list[Row]:
    """Return the rows of a table that have one of the values in a column."""
    from sqlalchemy import select

    if not values:
        return []
    of = _table(table)
    query = select(of).where(of.c[column].in_(values))
    return [dict(row) for row in connection.execute(query).mappings()]


def insert(connection: Connection, table: str, rows: Sequence[Row]) -> None:
    """Add rows to a table, all at once."""
    if rows:
        connection.execute(_table(table).insert(), rows)


def _table(name: str) -> Table:
    """Return MLflow's definition, which turns SQLite's numbers into PostgreSQL's booleans."""
    from mlflow.store.db.base_sql_model import Base
    from mlflow.store.model_registry.dbmodels import models as _registry  # noqa: F401
    from mlflow.store.tracking.dbmodels import models as _tracking  # noqa: F401

    table: Table = Base.metadata.tables[name]
    return table

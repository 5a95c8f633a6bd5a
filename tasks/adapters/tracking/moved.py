"""A store that was moved or copied with its project: its artifacts are beside it, as before."""

from __future__ import annotations

import sqlite3
from pathlib import Path

_ADDRESSES = {  # table -> the columns in which MLflow keeps where artifacts lie, all absolute
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}


def follow(file: Path) -> None:
    """Write into a SQLite store where its artifacts lie now, should it have been moved since.

    An address is changed if it is a folder ``artifacts`` beside a store in a folder of this
    name. Otherwise runs logged before would have lost theirs, and a copy of a project would
    write into the one that it was copied from.

    Args:
        file: the store, absolute and without links; MLflow has made its tables.
    """
    now = (file.parent / "artifacts").as_uri()
    with sqlite3.connect(file) as store:
        places = store.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        tail = f"/{file.parent.name}/artifacts"
        for (before,) in places:
            if before and before != now and before.startswith("file:///") and before.endswith(tail):
                for table, columns in _ADDRESSES.items():
                    for column in columns:
                        store.execute(
                            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                            f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                            (now, len(before) + 1, before, len(before) + 1, f"{before}/"),
                        )
    store.close()

"""A table of images and labels: ``metadata.csv`` or ``metadata.parquet`` beside the images.

The columns are those of Hugging Face's ``ImageFolder``: ``file_name`` and ``label``, and perhaps
``split`` and ``group``. An empty label means an image without one; the split ``other_domain`` means
one that is not of the domain asked about, ``related`` one of a class that is not asked about.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from tasks.contracts.errors import UserError
from tasks.data.items import (
    OTHER_DOMAIN,
    RELATED,
    SPLIT_NAMES,
    UNLABELLED,
    Item,
    Listing,
    Rejected,
)
from tasks.data.trees import Leaf, Tree, content, told

TABLES = ("metadata.csv", "metadata.parquet")
_ASKED = ("file_name", "label")
_COLUMNS = (*_ASKED, "split", "group")
_LAST = {OTHER_DOMAIN: 1, RELATED: 2}  # behind what is asked about


def table_items(table: Leaf, tree: Tree, source: Path) -> Listing:
    """Read the images that a table names; the others are passed over.

    Args:
        table: one of `TABLES`, at the top of the tree.
        tree: all files.
        source: what messages name.

    Raises:
        UserError: the table cannot be read, lacks a column or all labels, or a row names no file,
            a file again, or no known split.
    """
    rows = _read(table, source)
    by_name = {leaf.name: leaf for leaf in tree.leaves}
    where = f"{source / table.name}"
    items: list[Item] = []
    seen: set[str] = set()
    for number, (file_name, label, split, group) in enumerate(rows, start=1):
        row = f"{where}, row {number}"
        leaf = by_name.get(told(file_name))
        if leaf is None:
            raise UserError(
                row,
                f"there is no file {file_name!r} below {source}",
                "Write paths relative to the table, with / between folders",
            )
        if leaf.name in seen:
            raise UserError(row, f"{file_name!r} stands in two rows", "Keep one of them")
        seen.add(leaf.name)
        places = SPLIT_NAMES | {OTHER_DOMAIN: OTHER_DOMAIN, RELATED: RELATED}
        if split and split.casefold() not in places:
            raise UserError(
                row,
                f"unknown split {split!r}",
                f"Write train, val, test, {OTHER_DOMAIN} or {RELATED}, or leave it empty",
            )
        place = places[split.casefold()] if split else None
        items.append(leaf.item(told(label), place if label else UNLABELLED, told(group) or None))
    if not any(item.class_name for item in items):
        raise UserError(where, "no row has a label", "Fill the column label")
    items.sort(key=lambda item: (not item.class_name, _LAST.get(item.split or "", 0), item.source))
    passed_over = [
        Rejected(leaf.name, "", f"{table.name} does not name it", "Add a row for it")
        if leaf.is_image
        else leaf.no_image()
        for leaf in tree.leaves
        if leaf.name not in seen and leaf is not table
    ]
    passed_over = sorted(tree.passed_over + passed_over, key=lambda one: one.source)
    return Listing(items, passed_over)


def _read(table: Leaf, source: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield the four columns of each row as text, empty where a row or the table has none."""
    name = str(source / table.name)
    try:
        data = io.BytesIO(content(table.place))
        if table.suffix == ".csv":
            frame = pd.read_csv(data, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        else:
            frame = pd.read_parquet(data)
    except (ValueError, OSError) as error:  # pandas' and pyarrow's errors are ValueErrors
        reason = str(error).splitlines()[0]
        raise UserError(name, f"no readable table ({reason})", "Save it again as UTF-8") from None
    missing = [column for column in _ASKED if column not in frame.columns]
    if missing:
        raise UserError(
            name,
            f"lacks the column {missing[0]}; it has {', '.join(map(str, frame.columns))}",
            "Name the columns file_name and label, and perhaps split and group",
        )
    frame = frame.reindex(columns=list(_COLUMNS))
    cells = frame.astype(object).where(frame.notna(), "").map(str)
    yield from cells.itertuples(index=False, name=None)

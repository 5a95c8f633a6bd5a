"""Parquet with the images inside, as Hugging Face's datasets write it.

A column ``image`` of structs ``{bytes, path}``, and a column ``label`` of class names, or of
numbers whose names stand in the schema. The file names say the split: ``train-00000-of-00002``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts.errors import UserError
from tasks.data.items import SPLIT_NAMES, UNLABELLED, Item, Listing
from tasks.data.trees import Leaf, Tree

SHARD = ".parquet"
_MEND = "Write it with `datasets`, a column `image` and a column `label`"


@dataclass(frozen=True, slots=True)
class ShardRow:
    """The image in one row of a shard."""

    file: Path
    row_group: int
    row: int

    def read(self) -> bytes:
        """Return the bytes of the image file; ValueError where the cell is empty."""
        cell = _row_group(self.file, self.row_group)[self.row].as_py()
        if not cell or not cell.get("bytes"):
            raise ValueError("the row holds no bytes of an image")
        content: bytes = cell["bytes"]
        return content


def is_shards(tree: Tree) -> bool:
    """Tell whether a folder is a set of shards: Parquet files and no image beside them."""
    shards = [leaf for leaf in tree.leaves if leaf.suffix == SHARD]
    return bool(shards) and not any(leaf.is_image for leaf in tree.leaves)


def shard_listing(tree: Tree, source: Path) -> Listing:
    """List the images of all shards; other files are passed over.

    Raises:
        UserError: a shard cannot be read, or has no column of images or of labels.
    """
    items: list[Item] = []
    for leaf in tree.leaves:
        if leaf.suffix == SHARD:
            items += _items(leaf, source)
    items.sort(key=lambda item: not item.class_name)  # those without a label come last
    if not any(item.class_name for item in items):
        raise UserError(str(source), "no row of its shards has a label", _MEND)
    others = [leaf.no_image() for leaf in tree.leaves if leaf.suffix != SHARD]
    return Listing(items, sorted(tree.passed_over + others, key=lambda one: one.source))


def _items(leaf: Leaf, source: Path) -> Iterator[Item]:
    if not isinstance(leaf.place, Path):
        raise UserError(f"{source}: {leaf.name}", "a shard inside an archive", "Unpack the archive")
    try:
        shard = pq.ParquetFile(leaf.place)
    except (pa.ArrowException, OSError) as error:
        raise UserError(str(leaf.place), f"no readable Parquet file ({error})", _MEND) from None
    schema = shard.schema_arrow
    struct = schema.field("image").type if "image" in schema.names else None
    if struct is None or not pa.types.is_struct(struct) or struct.get_field_index("bytes") < 0:
        raise UserError(str(leaf.place), "no column `image` with the bytes of images", _MEND)
    if "label" not in schema.names:
        raise UserError(str(leaf.place), "no column `label`", _MEND)
    names = _class_names(schema)
    start = re.split(r"[-_.]", leaf.parts[-1])[0].casefold()
    split = SPLIT_NAMES.get(start)
    asked = [name for name in ("label", "group") if name in schema.names]
    number = 0
    for row_group in range(shard.num_row_groups):
        rows = shard.read_row_group(row_group, columns=asked).to_pydict()
        for row, label in enumerate(rows["label"]):
            class_name = _told(label, names, leaf)
            group = rows["group"][row] if "group" in rows else None
            item = replace(leaf, place=ShardRow(leaf.place, row_group, row)).item(
                class_name,
                split if class_name else UNLABELLED,
                None if group is None else str(group),
            )
            yield replace(item, source=f"{leaf.name}#{number}")
            number += 1


def _class_names(schema: pa.Schema) -> list[str] | None:
    """Return the names of a ClassLabel, as `datasets` keeps them in the schema."""
    metadata = (schema.metadata or {}).get(b"huggingface")
    if metadata is None:
        return None
    features: dict[str, Any] = json.loads(metadata).get("info", {}).get("features", {})
    names: list[str] | None = features.get("label", {}).get("names")
    return names


def _told(label: Any, names: list[str] | None, leaf: Leaf) -> str:
    if label is None or label == "" or label == -1:
        return ""
    if isinstance(label, int) and names is not None:
        if not 0 <= label < len(names):
            raise UserError(str(leaf.place), f"label {label} has no name in the schema", _MEND)
        return names[label]
    return str(label)


@lru_cache(maxsize=2)
def _row_group(file: Path, number: int) -> pa.ChunkedArray:
    """Keep the images of a row group: they are asked for one after the other."""
    return pq.ParquetFile(file).read_row_group(number, columns=["image"]).column("image")

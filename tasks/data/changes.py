"""What changed between two ingests of one source: images added, gone, relabelled, moved."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet

_COLUMNS = ("image_id", "class_name", "source", "split")


def changes_since(before: Mapping[str, Path], after: Mapping[str, ImageSet]) -> pd.DataFrame | None:
    """Compare the image sets of an ingest with those that the last one left.

    Args:
        before: folders of the last accepted image sets by split, perhaps not there.
        after: those of this ingest, by split.

    Returns:
        ``source``, ``change`` (``added``, ``gone``, ``relabelled`` or ``moved``), ``was`` and
        ``now`` (a class, or a split), by source; of an image whose label is hidden now or was then,
        no label. None where no ingest came before, or one of another image size or depth: then
        every image is another.
    """
    try:
        former = {name: ImageSet.load(folder) for name, folder in before.items()}
    except UserError:
        return None
    if former["train"].image_shape != after["train"].image_shape:
        return None
    both = _table(former).merge(
        _table(after), how="outer", on="image_id", suffixes=("_was", "_now"), indicator=True
    )
    here = both["_merge"] == "both"
    known = (both["class_name_was"] != "") & (both["class_name_now"] != "")
    parts = [
        _rows(both[both["_merge"] == "right_only"], "added", "split"),
        _rows(both[both["_merge"] == "left_only"], "gone", "split"),
        _rows(
            both[here & known & (both["class_name_was"] != both["class_name_now"])],
            "relabelled",
            "class_name",
        ),
        _rows(both[here & (both["split_was"] != both["split_now"])], "moved", "split"),
    ]
    return pd.concat(parts, ignore_index=True)


def _table(sets: Mapping[str, ImageSet]) -> pd.DataFrame:
    frames = [one.manifest.assign(split=name)[list(_COLUMNS)] for name, one in sets.items()]
    return pd.concat(frames, ignore_index=True)


def _rows(both: pd.DataFrame, change: str, what: str) -> pd.DataFrame:
    source = both["source_now"].fillna(both["source_was"])
    rows = {"change": change, "was": both[f"{what}_was"], "now": both[f"{what}_now"]}
    return pd.DataFrame({"source": source, **rows}).fillna("").sort_values("source")

"""The training images that passed the gate last, and how far those of today lie from them.

It tells of history, so it is no output of a stage: the same images give the same bytes whatever was
validated before.
"""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from tasks.data.pixel_shift import STATISTICS, drift

FILE = Path(".ganlift/validated.parquet")
_COLUMNS = ["class_name", "group", "image_size", *STATISTICS]


def drift_since(train: pd.DataFrame, image_size: int, file: Path = FILE) -> pd.DataFrame:
    """Return the drift of real/train since it passed the gate last, as `drift` does.

    Args:
        train: ``class_name``, ``label`` and ``group`` beside `pixel_stats`.
        image_size: of its images.
        file: what `keep_validated` wrote.

    Returns:
        no row where nothing passed before, or images of another size or of no class of today.
    """
    if not file.is_file():
        return pd.DataFrame(columns=["compared", "split", "drift"])
    before = pd.read_parquet(file)
    labels = train.drop_duplicates("class_name").set_index("class_name")["label"]
    before = before[(before["image_size"] == image_size) & before["class_name"].isin(labels.index)]
    return drift({"train": train, "before": before.assign(label=before["class_name"].map(labels))})


def keep_validated(train: pd.DataFrame, image_size: int, file: Path = FILE) -> None:
    """Keep what the next validation is compared with; takes as `drift_since`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}-{os.getpid()}")
    train.assign(image_size=image_size)[_COLUMNS].to_parquet(beside, index=False)
    beside.replace(file)

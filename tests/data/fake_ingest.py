"""The stage ingest as a test runs it: from a folder into folders, and what it wrote there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tasks import ingest
from tasks.contracts.image_set import ImageSet
from tests.contracts.tiny import tiny_params

PARTS = ("train", "val", "test")


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze()).save(path)


def run(source: Path, out: Path, fold: int = 0, **overrides: object) -> Path:
    """Ingest into folders none of which exists yet."""
    ingest.run(
        source=source,
        fold=fold,
        train=out / "sets/train",
        val=out / "sets/val",
        test=out / "sets/test",
        unlabelled=out / "sets/unlabelled",
        other_domain=out / "sets/other_domain",
        related=out / "sets/related",
        spare=out / "sets/spare",
        splits=out / "ledger/splits.parquet",
        rejects=out / "rejects/rejects.csv",
        cut=out / "cut/cut.csv",
        twins=out / "twins/twins.csv",
        summary=out / "summary/ingest.json",
        params=tiny_params(ingest=overrides).ingest,
        seed=0,
    )
    return out


def parts_of(out: Path) -> dict[str, ImageSet]:
    return {name: ImageSet.load(out / "sets" / name) for name in PARTS}


def rejects_of(out: Path) -> dict[str, str]:
    table = pd.read_csv(out / "rejects/rejects.csv")
    return dict(zip(table["source"], table["reason"], strict=True))


def bytes_of(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}

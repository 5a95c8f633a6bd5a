"""Stage 1, ingest: a source of images to real/train, real/val and real/test."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params import IngestParams
from tasks.contracts.progress import progress
from tasks.contracts.stage import stage_main
from tasks.data.collection import Rejected, check_classes, decode, distinct, split
from tasks.data.sources import items_of


def run(
    *,
    source: Path,
    train: Path,
    val: Path,
    test: Path,
    splits: Path,
    rejects: Path,
    cut: Path,
    summary: Path,
    params: IngestParams,
    seed: int,
) -> None:
    """Decode, normalise, de-duplicate and split the images of a source."""
    with progress("ingest") as watch:
        items = items_of(source)
        decoded, given, unreadable = decode(items, params, watch)
    images, given, copies = distinct(decoded, given)
    _save_table(rejects, unreadable + copies)
    if len(unreadable) > params.max_reject_share * len(items):
        raise UserError(
            str(source),
            f"{len(unreadable)} of {len(items)} files are unreadable, more than "
            f"ingest.max_reject_share {params.max_reject_share:.0%}",
            f"See {rejects} for each file's reason; mend or remove them",
        )
    check_classes(items, images)
    parts = split(images, given, params, seed)
    for name, folder in (("train", train), ("val", val), ("test", test)):
        parts[name].save(folder)
    for path in (cut, splits, summary):
        path.parent.mkdir(parents=True, exist_ok=True)
    parts["cut"].manifest[["image_id", "class_name", "source"]].to_csv(cut, index=False)
    ledger = [part.manifest[["image_id"]].assign(split=name) for name, part in parts.items()]
    pd.concat(ledger, ignore_index=True).to_parquet(splits, index=False)
    _save_summary(summary, source, images, parts, len(unreadable), len(copies))
    print(", ".join(f"{name} {len(part)}" for name, part in parts.items()))


def _save_table(path: Path, rejected: list[Rejected]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = ["source", "class_name", "reason"]
    pd.DataFrame([asdict(one) for one in rejected], columns=columns).to_csv(path, index=False)


def _save_summary(
    path: Path,
    source: Path,
    images: ImageSet,
    parts: dict[str, ImageSet],
    unreadable: int,
    copies: int,
) -> None:
    size, _, channels = images.image_shape
    names = images.class_names
    counts = {
        name: {one: int((part.manifest["class_name"] == one).sum()) for one in names}
        for name, part in parts.items()
    }
    content = {
        "dataset": source.stem if source.is_file() else source.resolve().name,
        "image_size": size,
        "channels": channels,
        "classes": list(names),
        "counts": counts,
        "rejected": unreadable,
        "duplicates": copies,
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    stage_main(run)

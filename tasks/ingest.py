"""Stage 1, ingest: a source of images to real/train, real/val, real/test and real/unlabelled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.ground import refuse_own_ground
from tasks.contracts.image_set import ImageSet
from tasks.contracts.outputs import Explanation, Output
from tasks.contracts.params.ingest import IngestParams
from tasks.contracts.progress import Report, progress
from tasks.contracts.stage import stage_main
from tasks.data.collection import check_classes, distinct, split
from tasks.data.groups import hold_apart, joined
from tasks.data.items import UNLABELLED, Rejected
from tasks.data.reading import decode
from tasks.data.sources import items_of
from tasks.data.twins import LEAST_SIZE, Twins, find_twins
from tasks.data.unlabelled import decode_unlabelled, hide_labels, join_unlabelled


def run(
    *,
    source: Path,
    train: Output,
    val: Output,
    test: Output,
    unlabelled: Output,
    spare: Output,
    splits: Output,
    rejects: Explanation,
    twins: Explanation,
    cut: Output,
    summary: Output,
    params: IngestParams,
    seed: int,
) -> None:
    """Decode, normalise, de-duplicate and split the images of a source.

    Images without a label (`tasks.data.unlabelled` says which) make a set of their own, which
    may be empty. No output tells the class of one whose label is hidden. What the cut leaves out
    of the training images is kept as ``spare``: labelled, perhaps none, and trained on by the
    arms that ask what more real images would bring.
    """
    refuse_own_ground(source, Path.cwd())
    listing = items_of(source, params.group_pattern)
    loose_items = [item for item in listing.items if item.split == UNLABELLED]
    items = [item for item in listing.items if item.split != UNLABELLED]
    with progress("ingest") as watch:
        images, done = decode(items, params, watch)
        shape = images.image_shape
        loose, loose_unreadable = decode_unlabelled(loose_items, shape, params, watch, done.white)
    found = distinct(images, done.given, done.digests)
    lost = done.unreadable + loose_unreadable
    left_out = listing.passed_over + lost + found.copies
    _save_table(rejects, left_out)
    spoiled = len(done.unreadable) + found.shrunk
    for bad, all_items in ((spoiled, items), (len(loose_unreadable), loose_items)):
        if bad > params.max_reject_share * len(all_items):
            raise UserError(
                str(source),
                f"{bad} of {len(all_items)} files are unreadable, or equal to another once they "
                f"are made small: more than ingest.max_reject_share {params.max_reject_share:.0%}",
                f"See {rejects} for each file's reason; mend or remove them",
            )
    if found.across and params.on_leak == "refuse":
        raise UserError(
            str(source),
            f"{found.across} images stand in two of its splits",
            f"See {rejects}; remove them from one, or set ingest.on_leak to drop",
        )
    with progress("ingest") as watch:
        pairs = _twins(found.images, params, watch)
    whole, given, leaks = hold_apart(_grouped(found.images, pairs), found.given, params.on_leak)
    check_classes(items, whole)
    parts = split(whole, given, params, seed)
    hidden = hide_labels(parts.pop("hidden"))
    parts["unlabelled"], loose_copies = join_unlabelled(hidden, loose, list(parts.values()))
    _save_table(rejects, left_out + leaks + loose_copies)
    for name, folder in (
        ("train", train),
        ("val", val),
        ("test", test),
        ("unlabelled", unlabelled),
        ("cut", spare),
    ):
        parts[name].save(folder)
    for path in (cut, splits, summary):
        path.parent.mkdir(parents=True, exist_ok=True)
    parts["cut"].manifest[["image_id", "class_name", "source"]].to_csv(cut, index=False)
    ledger = [part.manifest[["image_id"]].assign(split=name) for name, part in parts.items()]
    pd.concat(ledger, ignore_index=True).to_parquet(splits, index=False)
    _save_twins(twins, found.images, pairs)
    labels = found.images.labels
    grouped = sum(item.group is not None for item in done.items)
    facts = {
        "passed_over": len(listing.passed_over),
        "rejected": len(lost),
        "duplicates": len(found.copies) + len(loose_copies),
        "equal_when_small": found.shrunk,
        "leaks": {"copies": found.across, "groups": len(leaks)},
        "groups": {
            "images": grouped,
            "without": len(done.items) - grouped,
            "distinct": len({item.group for item in done.items if item.group is not None}),
        },
        "twins": {
            "pairs": len(pairs.pairs),
            "of_two_classes": int((labels[pairs.pairs[:, 0]] != labels[pairs.pairs[:, 1]]).sum()),
            "threshold": None if pairs.threshold is None else round(pairs.threshold, 4),
        },
        "more_frames": done.with_more_frames,
        "white": done.white,
    }
    _save_summary(summary, source, whole, parts, facts)
    print(", ".join(f"{name} {len(part)}" for name, part in parts.items()))
    for line in _told(facts, params):
        print(line)


def _twins(images: ImageSet, params: IngestParams, watch: Report) -> Twins:
    if params.twins is None or params.image_size < LEAST_SIZE or len(images) < 2:
        return Twins.none(params.twins)
    return find_twins(images.images, params.twins, watch)


def _grouped(images: ImageSet, twins: Twins) -> ImageSet:
    manifest = images.manifest.copy()
    manifest["group"] = joined(manifest["group"].tolist(), twins.pairs)
    return ImageSet(images.images, manifest)


def _save_twins(path: Path, images: ImageSet, twins: Twins) -> None:
    one, two = (
        images.manifest.iloc[twins.pairs[:, side]].reset_index(drop=True) for side in (0, 1)
    )
    table = pd.DataFrame(
        {
            "source_a": one["source"],
            "source_b": two["source"],
            "class_a": one["class_name"],
            "class_b": two["class_name"],
            "correlation": np.round(twins.correlations.astype(np.float64), 4),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def _save_table(path: Path, rejected: list[Rejected]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [field.name for field in fields(Rejected)]
    pd.DataFrame([asdict(one) for one in rejected], columns=columns).to_csv(path, index=False)


def _told(facts: Mapping[str, Any], params: IngestParams) -> Iterator[str]:
    """Yield a line for everything about the files that a person may not expect."""
    see = "see reports/ingest_rejects.csv"
    if facts["passed_over"]:
        yield f"{facts['passed_over']:,} files were passed over; {see}"
    if facts["rejected"]:
        yield f"{facts['rejected']:,} files could not be read; {see}"
    if facts["duplicates"]:
        yield f"{facts['duplicates']:,} copies were left out; {see}"
    if facts["twins"]["pairs"]:
        yield (
            f"{facts['twins']['pairs']:,} pairs of images show the same and stay in one split "
            f"(correlation {facts['twins']['threshold']:.2f} or more); see reports/ingest_twins.csv"
        )
    leaks = sum(facts["leaks"].values())
    if leaks:
        yield f"{leaks:,} images stood in two of the source's splits and were dropped; {see}"
    if params.group_pattern is not None and facts["groups"]["without"]:
        yield (
            f"ingest.group_pattern matches nothing in the path of {facts['groups']['without']:,} "
            "images: each is a group of its own"
        )
    if facts["more_frames"]:
        yield (
            f"{facts['more_frames']:,} files have several pages or frames: the first is used; "
            "ingest.frames=all uses all"
        )
    if facts["white"] is not None:
        yield f"grey images of more than 8 bits: level {facts['white']:,} is white"


def _save_summary(
    path: Path,
    source: Path,
    images: ImageSet,
    parts: Mapping[str, ImageSet],
    facts: Mapping[str, Any],
) -> None:
    size, _, channels = images.image_shape
    names = images.class_names
    counts = {
        name: part.manifest["class_name"].value_counts().reindex(names, fill_value=0).to_dict()
        for name, part in parts.items()
        if name != "unlabelled"
    }
    content = {
        "dataset": source.stem if source.is_file() else source.resolve().name,
        "image_size": size,
        "channels": channels,
        "classes": list(names),
        "counts": counts,
        "unlabelled": len(parts["unlabelled"]),
        **facts,
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    stage_main(run)

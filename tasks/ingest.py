"""Stage 1, ingest: a source of images to real/train, real/val, real/test and real/unlabelled."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.ground import refuse_own_ground
from tasks.contracts.image_set import ImageSet
from tasks.contracts.outputs import Explanation, Output, shown
from tasks.contracts.params.ingest import IngestParams
from tasks.contracts.progress import progress
from tasks.contracts.stage import stage_main
from tasks.data.changes import changes_since
from tasks.data.collection import check_classes, distinct, split
from tasks.data.groups import copies_across, join_groups, part_leaks, told_twins, with_twins
from tasks.data.items import Rejected
from tasks.data.reading import decode
from tasks.data.sources import UNLABELLED, items_of
from tasks.data.unlabelled import decode_unlabelled, hide_labels, join_unlabelled

CHANGES = Path(".ganlift/ingest_changes.csv")  # tells of history, so it is no output of the stage


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
    cut: Output,
    twins: Output,
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
    listing = items_of(source)
    items = listing.items
    loose_items = [item for item in items if item.split == UNLABELLED]
    items = [item for item in items if item.split != UNLABELLED]
    with progress("ingest") as watch:
        images, given, unreadable = decode(items, params, watch)
        shape = images.image_shape
        loose, loose_unreadable = decode_unlabelled(loose_items, shape, params, watch)
    across = copies_across(images, given)
    images, given, copies = distinct(join_groups(images), given)
    crossing = [one for one in copies if one.source in across]
    unnamed = int((images.manifest["group"] == images.manifest["image_id"]).sum())
    images, loose, pairs = with_twins(images, loose, params.twins)
    images, given, leaks = part_leaks(images, given)
    lost = unreadable + loose_unreadable
    _save_table(rejects, listing.passed_over + lost + copies + leaks)
    for bad, all_items in ((unreadable, items), (loose_unreadable, loose_items)):
        if len(bad) > params.max_reject_share * len(all_items):
            raise UserError(
                str(source),
                f"{len(bad)} of {len(all_items)} files are unreadable, more than "
                f"ingest.max_reject_share {params.max_reject_share:.0%}",
                f"See {rejects} for each file's reason; mend or remove them",
            )
    if params.on_leak == "refuse" and (crossing or leaks):
        first = (crossing + leaks)[0]
        raise UserError(
            str(source),
            f"{len(crossing)} copies and {len(leaks)} images of one group or scene stand in two of "
            f"its splits, such as {first.source} ({first.reason})",
            f"See {rejects} for all; remove them, or set ingest.on_leak to drop",
        )
    check_classes(items, images)
    parts = split(images, given, params, seed)
    hidden = hide_labels(parts.pop("hidden"))
    parts["unlabelled"], loose_copies = join_unlabelled(hidden, loose, parts)
    copies += loose_copies
    _save_table(rejects, listing.passed_over + lost + copies + leaks)
    ledger = pd.concat(
        [part.manifest[["image_id"]].assign(split=name) for name, part in parts.items()],
        ignore_index=True,
    )
    told = told_twins(pairs, dict(ledger.itertuples(index=False, name=None)), hidden)
    folders = {"train": train, "val": val, "test": test, "unlabelled": unlabelled, "cut": spare}
    changes = changes_since({name: shown(folder) for name, folder in folders.items()}, parts)
    for name, folder in folders.items():
        parts[name].save(folder)
    for path in (cut, twins, splits, summary):
        path.parent.mkdir(parents=True, exist_ok=True)
    parts["cut"].manifest[["image_id", "class_name", "source"]].to_csv(cut, index=False)
    told.to_csv(twins, index=False)
    ledger.to_parquet(splits, index=False)
    links = _links(images, unnamed, told, crossing, leaks)
    _save_summary(summary, source, images, parts, len(lost), len(copies), links)
    print(", ".join(f"{name} {len(part)}" for name, part in parts.items()))
    if changes is not None:
        CHANGES.parent.mkdir(parents=True, exist_ok=True)
        changes.to_csv(CHANGES, index=False)
        counts = changes["change"].value_counts()
        since = ", ".join(f"{count} {change}" for change, count in counts.items())
        print(f"since the last ingest: {since or 'nothing changed'} (see {CHANGES})")


def _save_table(path: Path, rejected: list[Rejected]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [field.name for field in fields(Rejected)]
    pd.DataFrame([asdict(one) for one in rejected], columns=columns).to_csv(path, index=False)


def _links(
    images: ImageSet,
    unnamed: int,
    twins: pd.DataFrame,
    crossing: list[Rejected],
    leaks: list[Rejected],
) -> dict[str, int]:
    """Count what binds images together, and what of it stood in two given splits."""
    known = (twins["class_a"] != "") & (twins["class_b"] != "")
    return {
        "groups": int(images.manifest["group"].nunique()),
        "images_without_a_named_group": unnamed,
        "twin_pairs": len(twins),
        "twin_pairs_of_two_classes": int((known & (twins["class_a"] != twins["class_b"])).sum()),
        "copies_across_splits": len(crossing),
        "groups_across_splits": len(leaks),
    }


def _save_summary(
    path: Path,
    source: Path,
    images: ImageSet,
    parts: dict[str, ImageSet],
    unreadable: int,
    copies: int,
    links: dict[str, int],
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
        "rejected": unreadable,
        "duplicates": copies,
        "shares": {name: round(sum(of.values()) / len(images), 4) for name, of in counts.items()},
        **links,
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    stage_main(run)

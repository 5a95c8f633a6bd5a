"""Stage 1, ingest: a source of images to real/train, real/val, real/test and real/unlabelled."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.ground import refuse_own_ground
from tasks.contracts.image_set import ImageSet
from tasks.contracts.outputs import Explanation, Output, shown
from tasks.contracts.params.ingest import IngestParams
from tasks.contracts.progress import part, progress
from tasks.contracts.stage import Setting, stage_main
from tasks.data.beside import decode_beside, hide_labels, join_labelled, join_unlabelled, renumbered
from tasks.data.changes import changes_since
from tasks.data.collection import check_classes, distinct, split
from tasks.data.groups import copies_across, join_groups, part_leaks, told_twins, with_twins
from tasks.data.items import OTHER_DOMAIN, RELATED, UNLABELLED, Rejected
from tasks.data.reading import decode
from tasks.data.sources import items_of
from tasks.data.twins import is_sought

CHANGES = Path(".ganlift/ingest_changes.csv")  # tells of history, so it is no output of the stage
_SCRATCH = Path(".ganlift")  # on the disk, where the system's own may lie in memory


def run(
    *,
    source: Annotated[Path, Setting("ingest.source")],
    fold: int,
    train: Output,
    val: Output,
    test: Output,
    unlabelled: Output,
    other_domain: Output,
    related: Output,
    spare: Output,
    splits: Output,
    rejects: Explanation,
    cut: Output,
    twins: Explanation,
    summary: Output,
    params: IngestParams,
    seed: int,
) -> None:
    """Decode, normalise, de-duplicate and split the images of a source.

    Images without a label, of another domain and of related classes (`tasks.data.beside` says
    which) make sets of their own, which may be empty. No output tells the class of one whose label
    is hidden. What the cut leaves out of the training images is kept as ``spare``: labelled,
    perhaps none, and trained on by the arms that ask what more real images would bring.

    Args as in ``dvc.yaml``; ``fold`` is the one of ``ingest.folds`` that is tested on, from 1, or 0
    in the line that splits by shares.
    """
    _see_fold(fold, params.folds)
    refuse_own_ground(source, Path.cwd())
    listing = items_of(source, params.group_pattern)
    beside = (UNLABELLED, OTHER_DOMAIN, RELATED)
    loose_items = [item for item in listing.items if item.split in beside]
    items = [item for item in listing.items if item.split not in beside]
    with progress("ingest") as watch:
        sought = is_sought(params.twins, params.image_size)
        reading = part(watch, 0.0, 0.5 if sought else 1.0)
        images, done = decode(items, params, reading, _SCRATCH)
        shape = images.image_shape
        loose, loose_unreadable = decode_beside(
            loose_items, shape, images.class_names, params, reading, done.white, _SCRATCH
        )
        across = copies_across(images, done.given)
        found = distinct(join_groups(images), done.given, done.digest)
        images, copies = found.images, found.copies
        crossing = [one for one in copies if one.source in across]
        unnamed = int((images.manifest["group"] == images.manifest["image_id"]).sum())
        seeking = part(watch, 0.5, 1.0)
        images, loose, pairs = with_twins(images, loose, params.twins, seeking, _SCRATCH)
    images, given, leaks = part_leaks(images, found.given)
    lost = done.unreadable + loose_unreadable
    _save_table(rejects, listing.passed_over + lost + copies + leaks)
    spoiled = len(done.unreadable) + found.shrunk
    for bad, all_items in ((spoiled, items), (len(loose_unreadable), loose_items)):
        if bad > params.max_reject_share * len(all_items):
            raise UserError(
                str(source),
                f"{bad} of {len(all_items)} files are unreadable, or equal to another once they "
                f"are made small: more than ingest.max_reject_share {params.max_reject_share:.0%}",
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
    parts = split(images, given, params, seed, fold)
    hidden = hide_labels(parts.pop("hidden"))
    labels, asked = loose.labels, len(images.class_names)
    for name, rows in (
        (OTHER_DOMAIN, (labels >= 0) & (labels < asked)),
        (RELATED, labels >= asked),
    ):
        parts[name], other_copies = join_labelled(loose.take(rows), hidden, parts)
        copies += other_copies
    parts[RELATED] = renumbered(parts[RELATED])  # leaks may have been all of one class
    parts[UNLABELLED], loose_copies = join_unlabelled(hidden, loose.take(labels < 0), parts)
    copies += loose_copies
    _save_table(rejects, listing.passed_over + lost + copies + leaks)
    ledger = pd.concat(
        [part.manifest[["image_id"]].assign(split=name) for name, part in parts.items()],
        ignore_index=True,
    )
    told = told_twins(pairs, dict(ledger.itertuples(index=False, name=None)), hidden)
    folders = {
        "train": train,
        "val": val,
        "test": test,
        UNLABELLED: unlabelled,
        OTHER_DOMAIN: other_domain,
        RELATED: related,
        "cut": spare,
    }
    changes = changes_since({name: shown(folder) for name, folder in folders.items()}, parts)
    for name, folder in folders.items():
        parts[name].save(folder)
    for path in (cut, twins, splits, summary):
        path.parent.mkdir(parents=True, exist_ok=True)
    parts["cut"].manifest[["image_id", "class_name", "source"]].to_csv(cut, index=False)
    told.to_csv(twins, index=False)
    ledger.to_parquet(splits, index=False)
    facts = {
        "rejected": len(lost),
        "duplicates": len(copies),
        "passed_over": len(listing.passed_over),
        "equal_once_small": found.shrunk,
        "files_with_more_frames": done.with_more_frames,
        "white": done.white,
        "given_splits": sorted({name for name in given if name is not None}),
        "fold": fold or None,
        "folds": params.folds,
        **_links(images, unnamed, told, crossing, leaks),
    }
    _save_summary(summary, source, images, parts, facts)
    print(", ".join(f"{name} {len(part)}" for name, part in parts.items()))
    for line in _told(facts, params):
        print(line)
    if changes is not None:
        CHANGES.parent.mkdir(parents=True, exist_ok=True)
        changes.to_csv(CHANGES, index=False)
        counts = changes["change"].value_counts()
        since = ", ".join(f"{count} {change}" for change, count in counts.items())
        print(f"since the last ingest: {since or 'nothing changed'} (see {CHANGES})")


def _see_fold(fold: int, folds: int | None) -> None:
    """Refuse a line that is not the one that ``ingest.folds`` asks for."""
    if fold == 0 if folds is None else 1 <= fold <= folds:
        return
    this = f"fold {fold} of a cross-validation" if fold else "the line that splits by shares"
    raise UserError(
        f"ingest.folds {'null' if folds is None else folds}",
        f"it asks for another line than this, which is {this}",
        "Run `ganlift run`, which runs what is asked for, or change ingest.folds",
    )


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


def _told(facts: Mapping[str, Any], params: IngestParams) -> Iterator[str]:
    """Yield a line for everything about the files that a person may not expect."""
    see = "see reports/ingest_rejects.csv"
    if facts["passed_over"]:
        yield f"{facts['passed_over']:,} files were passed over; {see}"
    if facts["rejected"]:
        yield f"{facts['rejected']:,} files could not be read; {see}"
    if facts["duplicates"]:
        yield f"{facts['duplicates']:,} copies were left out; {see}"
    if facts["groups_across_splits"]:
        count = f"{facts['groups_across_splits']:,}"
        yield f"{count} images of groups in two of the source's splits were dropped; {see}"
    if facts["twin_pairs"]:
        count = f"{facts['twin_pairs']:,}"
        yield f"{count} pairs show the same and stay in one split; see reports/ingest_twins.csv"
    if params.group_pattern is not None and facts["images_without_a_named_group"]:
        count = f"{facts['images_without_a_named_group']:,}"
        yield f"{count} images have no group: ingest.group_pattern does not match their paths"
    if facts["files_with_more_frames"]:
        count = f"{facts['files_with_more_frames']:,}"
        yield f"{count} files have more pages or frames than the first, which is used"
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
        if name not in (UNLABELLED, RELATED) and (len(part) or name != OTHER_DOMAIN)
    }
    related = parts[RELATED].manifest["class_name"].value_counts().sort_index().to_dict()
    content = {
        "dataset": source.stem if source.is_file() else source.resolve().name,
        "image_size": size,
        "channels": channels,
        "classes": list(names),
        "counts": counts,
        "unlabelled": len(parts[UNLABELLED]),
        "related": related,
        "shares": {
            name: round(sum(of.values()) / len(images), 4)
            for name, of in counts.items()
            if name != OTHER_DOMAIN
        },
        **facts,
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    stage_main(run)

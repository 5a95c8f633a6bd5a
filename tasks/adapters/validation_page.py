"""The page of the data gate: one self-contained HTML file that needs no network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tasks.adapters.findings import FailingRow, Finding
from tasks.adapters.real_suites import OTHER_DOMAIN, RELATED, SUGGESTED, groups_given, recall_within
from tasks.adapters.validation_pictures import (
    galleries,
    original_sizes,
    picture,
    suspect_pictures,
    twin_pictures,
)
from tasks.classifier.suspects import LEAST_RECALL, LabelSuspects
from tasks.contracts.image_set import ImageSet
from tasks.contracts.pages import templates
from tasks.contracts.params.validate import ValidateParams
from tasks.data.tallies import class_counts, classes_of

_SHOWN = 24  # pictures of a finding that failed
_SHOWN_IN_ALL = 240
_REASONS = 10
_SET = {OTHER_DOMAIN: "the other domain", RELATED: "related classes"}  # after "images of"
_USE = {
    OTHER_DOMAIN: "The same classes, taken otherwise.",
    RELATED: "Classes that nobody asks about.",
}


@dataclass(frozen=True)
class _Failure:
    """A finding that failed, with its first rows as (row, picture as a data URI or "")."""

    finding: Finding
    rows: tuple[tuple[FailingRow, str], ...]
    left_out: int


@dataclass(frozen=True)
class _Counts:
    """How many images there are: of each class by split, and of the rarest class in test."""

    classes: list[tuple[str, dict[str, int]]]
    fewest_train: int
    rarest: str
    rarest_test: int
    recall_within: float


def render_page(
    findings: Sequence[Finding],
    sets: Mapping[str, ImageSet],
    params: ValidateParams,
    *,
    labels: LabelSuspects,
    suspects: pd.DataFrame,
    twins: pd.DataFrame,
    rejects: pd.DataFrame,
    beside: Mapping[str, ImageSet],
) -> str:
    """Return the page: what was found, the images it concerns, and what there is of each class.

    Args:
        findings: all of them, in the order checked.
        sets: split -> the images, in the order to show.
        params: least and useful images of a class in each split.
        labels: what the probe of labels says.
        suspects: its suspects, with ``split``, ``row``, ``class_name``, ``suggested``,
            ``p_given`` and ``p_suggested``.
        twins: pairs of near-twins, with their sources, classes and correlation.
        rejects: files that ingest left out, with ``reason``.
        beside: images of another domain and of related classes, under what people call them;
            perhaps none.
    """
    template = templates(Path(__file__).parent).get_template("validation.html.j2")
    asked: dict[tuple[str, str, str], dict[str, Finding]] = {}  # of every set alike, a row each
    for finding in findings:
        if finding.split in sets:
            kind = (finding.expectation, finding.column, finding.severity)
            asked.setdefault(kind, {})[finding.split] = finding
    broken = [finding for finding in findings if not finding.passed]
    most = max(4, min(_SHOWN, _SHOWN_IN_ALL // max(1, len(broken))))
    pictured = {**sets, **beside}
    failures = [
        _failure(finding, pictured, 0 if finding.column == SUGGESTED else most)
        for finding in broken
    ]  # the suspects have a place of their own
    reasons = Counter(sorted(rejects["reason"]) if len(rejects) else []).most_common()
    return template.render(
        stops=[failure for failure in failures if failure.finding.stops],
        warnings=[failure for failure in failures if failure.finding.warns],
        findings=findings,
        asked=list(asked.values()),
        across=_across(findings, sets),
        images={split: len(image_set) for split, image_set in sets.items()},
        counts=_counts(sets),
        least={split: getattr(params, f"min_{split}_per_class") for split in sets},
        useful={split: getattr(params, f"useful_{split}_per_class") for split in sets},
        groups_given=groups_given([image_set.manifest for image_set in sets.values()]),
        galleries=galleries(sets),
        beside=[
            (f"{len(images)} images of {_SET[name]}", _USE[name], galleries({name: images}))
            for name, images in beside.items()
            if len(images)
        ],
        sizes=original_sizes(sets),
        labels=labels,
        least_recall=LEAST_RECALL,
        suspects=suspect_pictures(sets, suspects),
        suspect_count=len(suspects),
        twins=twin_pictures(sets, twins),
        twin_pairs=len(twins),
        rejects=len(rejects),
        reasons=reasons[:_REASONS],
        other_reasons=sum(files for _, files in reasons[_REASONS:]),
    )


def _across(findings: Sequence[Finding], sets: Mapping[str, ImageSet]) -> dict[str, list[Finding]]:
    """Return what is not asked of each split, by where it is."""
    others = [finding for finding in findings if finding.split not in sets]
    found = {"checked across all sets": [one for one in others if one.split not in _SET]}
    for name, told in _SET.items():
        if own := [one for one in others if one.split == name]:
            found[f"checked in the images of {told}"] = own
    return found


def _failure(finding: Finding, sets: Mapping[str, ImageSet], most: int) -> _Failure:
    rows = tuple(
        (row, "" if row.row is None else picture(sets[row.split].images[row.row]))
        for row in finding.failing[:most]
    )
    return _Failure(finding, rows, len(finding.failing) - len(rows) if most else 0)


def _counts(sets: Mapping[str, ImageSet]) -> _Counts:
    classes = _classes(sets)
    rarest, of = min(classes, key=lambda one: one[1]["test"])
    return _Counts(
        classes,
        fewest_train=min(counts["train"] for _, counts in classes),
        rarest=rarest,
        rarest_test=of["test"],
        recall_within=recall_within(of["test"]),
    )


def _classes(sets: Mapping[str, ImageSet]) -> list[tuple[str, dict[str, int]]]:
    """Return (class name, split -> images) for every class, in the order of the labels."""
    names = classes_of(pd.concat([image_set.manifest for image_set in sets.values()]))
    counts = {
        split: class_counts(image_set.manifest, names)["images"].tolist()
        for split, image_set in sets.items()
    }
    return [
        (name, {split: images[place] for split, images in counts.items()})
        for place, name in enumerate(names.values())
    ]

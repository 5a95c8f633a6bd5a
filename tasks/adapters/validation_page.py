"""The page of the data gate: one self-contained HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from tasks.adapters.findings import FailingRow, Finding
from tasks.contracts.image_set import Images, ImageSet
from tasks.contracts.pages import templates
from tasks.contracts.params.validate import ValidateParams
from tasks.data.pictures import png_base64, to_picture
from tasks.data.tallies import class_counts, classes_of

_SHOWN = 24
_EDGE_PX = 96


@dataclass(frozen=True)
class _Failure:
    """A finding that failed, with its first rows as (row, picture as a data URI or "")."""

    finding: Finding
    rows: tuple[tuple[FailingRow, str], ...]
    left_out: int


def render_page(
    findings: Sequence[Finding], sets: Mapping[str, ImageSet], params: ValidateParams
) -> str:
    """Return the page: what was found, the failing images, and how many images of each class.

    Args:
        findings: all of them, in the order checked.
        sets: split -> the images, in the order to show.
        params: least images of a class in each split.
    """
    template = templates(Path(__file__).parent).get_template("validation.html.j2")
    asked: dict[tuple[str, str], dict[str, Finding]] = {}  # of every set the same, a row each
    for finding in findings:
        if finding.split in sets:
            asked.setdefault((finding.expectation, finding.column), {})[finding.split] = finding
    failures = [_failure(finding, sets) for finding in findings if not finding.passed]
    return template.render(
        failures=failures,
        findings=findings,
        asked=list(asked.values()),
        across=[finding for finding in findings if finding.split not in sets],
        images={split: len(image_set) for split, image_set in sets.items()},
        classes=_classes(sets),
        least={split: getattr(params, f"min_{split}_per_class") for split in sets},
    )


def picture(image: Images) -> str:
    """Return one image (``[H, W, C]`` uint8) as a PNG data URI of about 96 pixels.

    Small images are enlarged by a whole factor without smoothing, so every pixel is seen.
    """
    edge = max(image.shape[:2])
    drawn = to_picture(image)
    if edge <= _EDGE_PX:
        factor = _EDGE_PX // edge
        size = (drawn.width * factor, drawn.height * factor)
        drawn = drawn.resize(size, Image.Resampling.NEAREST)
    else:
        drawn.thumbnail((_EDGE_PX, _EDGE_PX))
    return f"data:image/png;base64,{png_base64(drawn)}"


def _failure(finding: Finding, sets: Mapping[str, ImageSet]) -> _Failure:
    rows = tuple(
        (row, "" if row.row is None else picture(sets[row.split].images[row.row]))
        for row in finding.failing[:_SHOWN]
    )
    return _Failure(finding, rows, len(finding.failing) - len(rows))


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

"""The filter's funnel: what each rule took out and what was left, with examples to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images, ImageSet
from tasks.data.pictures import png_base64, to_picture

_ALL = "pool"  # the step before any rule
_EXAMPLES = 8  # images of a step
_LARGEST = 96  # pixels; a larger image is shrunk
RULES = {  # what it rejects
    "copy": "nearer to a training image than real images are to one another",
    "near duplicate": "looks the same as a training image",
    "not authentic": "nearer to a real image than that image is to its own nearest neighbour",
    "off manifold": "far from every real image",
    "other label": "classifiers that never saw it predict another class",
    "low confidence": "classifiers that never saw it give its class a low probability",
    "low margin": "the second most probable class is too close to the first",
    "low p_real": "the calibrated discriminator takes it for synthetic",
    "already sure": "classifiers that never saw it are sure of its class, so it teaches little",
    "over quota": "its class has enough accepted images",
}
SCORES = {"p_real": "p(real)", "confidence": "confidence", "margin": "margin", "realism": "realism"}
TELLING = {  # the score that a rule goes by
    "low p_real": "p_real",
    "low confidence": "confidence",
    "other label": "confidence",
    "already sure": "confidence",
    "low margin": "margin",
    "off manifold": "realism",
}


@dataclass(frozen=True)
class Example:
    """One pool image: a PNG in base64, the class that was asked for, its score under the rule."""

    png: str
    class_name: str
    score: float | None


@dataclass(frozen=True)
class Step:
    """One rule of the filter.

    Attributes:
        rule: its name; the first is ``pool``, the last ``accepted``.
        rejected: images it took out.
        left: images left after it.
        coverage, recall, precision: of those left against real/val, 0 to 1, None if unmeasured.
        examples: some of the images it took out; of the first and last step, some of those left.
    """

    rule: str
    rejected: int
    left: int
    coverage: float | None
    recall: float | None
    precision: float | None
    examples: Sequence[Example]


def funnel(
    rules: Sequence[Mapping[str, Any]], pool: ImageSet, scores: pd.DataFrame, seed: int
) -> list[Step]:
    """Return the filter's steps, each with images picked at random, not by looks.

    Args:
        rules: of ``filter.json``.
        pool: every image that the GANs made.
        scores: a row for each of them, in order, with ``image_id``, ``class_name``, ``reason``.
        seed: of the pick.

    Raises:
        UserError: the scores are not those of the pool.
    """
    ids = pool.manifest["image_id"].reset_index(drop=True)
    if not ids.eq(scores["image_id"].reset_index(drop=True)).all():
        raise UserError(
            "the filter's scores",
            "are not those of the images in the pool",
            "Run `ganlift run --from quality_filter`, which scores them anew",
        )
    rng = np.random.default_rng([seed, 6])
    return [
        Step(
            rule=str(of["rule"]),
            rejected=int(of["rejected"]),
            left=int(of["left"]),
            **{key: of[key] for key in ("coverage", "recall", "precision")},
            examples=_examples(str(of["rule"]), pool, scores, rng),
        )
        for of in rules
    ]


def _examples(
    rule: str, pool: ImageSet, scores: pd.DataFrame, rng: np.random.Generator
) -> list[Example]:
    reached = scores["reason"].eq(rule).to_numpy() if rule != _ALL else np.ones(len(pool), np.bool_)
    picked = rng.permutation(np.flatnonzero(reached))[:_EXAMPLES]
    return [
        Example(
            png=_png(pool.images[row]),
            class_name=str(scores["class_name"].iat[row]),
            score=float(scores[TELLING[rule]].to_numpy()[row]) if rule in TELLING else None,
        )
        for row in picked
    ]


def _png(image: Images) -> str:
    """Return an image ``[H, W, C]`` as PNG in base64, shrunk if it is larger than 96 pixels."""
    picture = to_picture(np.ascontiguousarray(image))
    if max(picture.size) > _LARGEST:
        picture.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BOX)
    return png_base64(picture)

"""A page of accepted and rejected images beside real ones, before anything is merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.pages import templates
from tasks.data.pictures import png_base64, to_picture
from tasks.quality.selection import ACCEPTED

_MOST = 4  # accepted images of a class, and rejected ones: ten classes are read in a minute
_MOST_REAL = 12  # of a class, which have no scores beside them
_MOST_DIGITS = 6  # of a score that all but equals its threshold
_FIGURES = (
    ("p_real", "p(real)", 2),
    ("confidence", "confidence", 2),
    ("margin", "margin", 2),
    ("realism", "realism", 2),
    ("nearest_distance", "distance", 1),
    ("hash_distance", "bits apart", 0),
)


def render_preview(pool: ImageSet, scores: pd.DataFrame, real: ImageSet, seed: int) -> str:
    """Return HTML with its images inside, that loads nothing; all text from data is escaped.

    Args:
        pool: M images.
        scores: what the filter wrote of them, in the same order.
        real: the training images, of the same classes.
        seed: of which images are shown: picked at random, not by looks.

    Raises:
        UserError: the scores are those of another pool.
    """
    if scores["image_id"].tolist() != pool.manifest["image_id"].tolist():
        raise UserError(
            "reports/filter_scores.parquet",
            "these are the scores of another pool",
            "Run `ganlift filter --preview`, which makes both",
        )
    rng = np.random.default_rng([seed, 8])
    accepted = scores["reason"] == ACCEPTED
    classes = []
    for (_, name), rows in scores.groupby(["label", "class_name"]):
        good = accepted[rows.index]
        sides = [_picked(rows[side], rng) for side in (good, ~good)]
        shown = rng.permutation(np.flatnonzero(real.manifest["class_name"] == name))[:_MOST_REAL]
        classes.append(
            {
                "name": name,
                "pool": len(rows),
                "accepted": int(good.sum()),
                "reasons": rows.loc[~good, "reason"].value_counts().to_dict(),
                "real": [_png(real.images[number]) for number in shown],
                "sides": [
                    [_card(pool.images[number], side.loc[number]) for number in side.index]
                    for side in sides
                ],
            }
        )
    page = templates(Path(__file__).parent)
    return page.get_template("preview.html.j2").render(
        classes=classes,
        pool=len(scores),
        accepted=int(accepted.sum()),
        reasons=scores.loc[~accepted, "reason"].value_counts().to_dict(),
        gans=scores["gan_seed"].nunique(),
        most=_MOST,
        most_real=_MOST_REAL,
    )


def _picked(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Some rows at random, those of one reason together."""
    drawn = rows.iloc[rng.permutation(len(rows))[:_MOST]]
    return drawn.sort_values("reason", kind="stable")


def _png(image: npt.NDArray[np.uint8]) -> str:
    return png_base64(to_picture(np.asarray(image)))


def _card(image: npt.NDArray[np.uint8], row: pd.Series[Any]) -> dict[str, Any]:
    """What the page shows of one image."""
    return {
        "png": _png(image),
        "reason": row["reason"],
        "gan_seed": row["gan_seed"],
        "figures": [
            (name, *_told(row[score], row.get(f"{score}_threshold"), digits))
            for score, name, digits in _FIGURES
        ],
    }


def _told(value: Any, least: Any, digits: int) -> tuple[str, str]:
    """A score and what was asked, with as many digits as it takes to tell different ones apart."""
    if not pd.isna(value) and not pd.isna(least) and value != least:
        while digits < _MOST_DIGITS and f"{value:.{digits}f}" == f"{least:.{digits}f}":
            digits += 1
    return _shown(value, digits), _shown(least, digits)


def _shown(value: Any, digits: int) -> str:
    """A number as text; nothing where there is none."""
    return "" if pd.isna(value) else f"{value:.{digits}f}"

"""Which synthetic images are accepted, and why the others are not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Labels

Scores = npt.NDArray[np.float64]
ACCEPTED, COPY, LOW_CONFIDENCE, LOW_P_REAL = "accepted", "copy", "low confidence", "low p_real"
REASONS = (ACCEPTED, LOW_P_REAL, LOW_CONFIDENCE, COPY)
_FEW = 5  # real scores of a class below which its quantile is taken over all classes


def class_thresholds(scores: Scores, labels: Labels, classes: int, quantile: float) -> Scores:
    """Return for each class the quantile of its real images' scores, ``[K]``.

    One threshold for all classes would empty the hard ones. A class with fewer than 5 scores
    borrows the quantile of all.
    """
    pooled = np.quantile(scores, quantile)
    return np.array(
        [
            np.quantile(scores[labels == label], quantile)
            if (labels == label).sum() >= _FEW
            else pooled
            for label in range(classes)
        ]
    )


def decide(scores: pd.DataFrame) -> npt.NDArray[np.object_]:
    """Return one of `REASONS` for each row: the first test it fails, or ``accepted``.

    `scores` has is_copy, confidence, p_real, and for the last two the row's threshold:
    confidence_threshold, p_real_threshold. A score that is no number fails its test.
    """
    failed = [
        (scores["is_copy"].to_numpy(np.bool_), COPY),
        (~(scores["confidence"] >= scores["confidence_threshold"]).to_numpy(), LOW_CONFIDENCE),
        (~(scores["p_real"] >= scores["p_real_threshold"]).to_numpy(), LOW_P_REAL),
    ]
    result = np.full(len(scores), ACCEPTED, dtype=object)
    for mask, reason in reversed(failed):  # the first of the list has the last word
        result[mask] = reason
    return result


def check_every_class(scores: pd.DataFrame) -> None:
    """Refuse a filter that leaves a class of a GAN without images.

    Raises:
        UserError: names the class, the GAN and the score that rejected most.
    """
    for (gan_seed, class_name), rows in scores.groupby(["gan_seed", "class_name"]):
        counts = rows["reason"].value_counts()
        if ACCEPTED not in counts:
            worst = str(counts.index[0])
            key = {
                COPY: "copy_quantile",
                LOW_CONFIDENCE: "confidence_quantile",
                LOW_P_REAL: "p_real_quantile",
            }[worst]
            raise UserError(
                f"class {str(class_name)!r}",
                f"none of GAN {gan_seed}'s {len(rows)} images was accepted; "
                f"{counts.iloc[0]} fell to {worst}",
                f"Lower quality_filter.{key}, raise generate.per_class, or train longer "
                "(train_gan.total_kimg)",
            )


def random_control(scores: pd.DataFrame, seed: int) -> npt.NDArray[np.int64]:
    """Return rows drawn at random from the whole pool, as many per GAN and class as accepted.

    In random order within each GAN and class, so that the first n of them are random too.
    """
    rng = np.random.default_rng([seed, 4])
    rows = []
    for _, group in scores.groupby(["gan_seed", "label"], sort=True):
        wanted = int((group["reason"] == ACCEPTED).sum())
        rows.append(rng.permutation(group.index.to_numpy())[:wanted])
    return np.concatenate(rows).astype(np.int64)

"""Which synthetic images join the real ones: how many of each class, and which."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.params.merge import MergeParams


def asked_of_each_class(params: MergeParams, real: Mapping[int, int], seed: int) -> dict[int, int]:
    """Return how many images of one GAN are to join each class, label -> images.

    Args:
        params: of the merge.
        real: label -> real training images, of every class.
        seed: decides which classes get one more where a ratio does not go up.

    Raises:
        UserError: no class would be given an image.
    """
    target = params.target_per_class
    if target == "ratio":
        quota = synthetic_quota(params.synthetic_per_real, sum(real.values()))
        if quota == 0:
            raise UserError(
                "params.yaml: merge.synthetic_per_real",
                f"{params.synthetic_per_real:g} of {sum(real.values())} real images is less than "
                "one image",
                "Raise it",
            )
        return spread_evenly(quota, list(real), seed)
    most = max(real.values())
    asked = {
        label: max(0, (most if target == "balance" else target) - count)
        for label, count in real.items()
    }
    if not any(asked.values()):
        raise UserError(
            f"params.yaml: merge.target_per_class: {target}",
            f"every class has so many real images already ({min(real.values())} to {most})",
            f"Set merge.target_per_class={2 * most}, or merge.target_per_class=ratio",
        )
    return asked


def synthetic_quota(synthetic_per_real: float, real: int) -> int:
    """Return ``floor(synthetic_per_real * real)``, exact: 0.29 of 100 is 29, not 28.

    Args:
        synthetic_per_real: share above 0, read as the decimal it is written as.
        real: number of real images.
    """
    return int(Fraction(str(synthetic_per_real)) * real)


def spread_evenly(total: int, labels: Sequence[int], seed: int) -> dict[int, int]:
    """Share ``total`` images out over classes as evenly as whole numbers allow.

    Every share is equal, so the largest remainders tie: who gets one more is drawn by seed,
    the same for every total. So a larger total never takes an image from any class.

    Returns:
        label -> images; the values sum to ``total`` and differ by 1 at most.
    """
    base, extra = divmod(total, len(labels))
    drawn = sorted(labels, key=lambda label: _draw(seed, f"class {label}"))
    lucky = set(drawn[:extra])
    return {label: base + (label in lucky) for label in labels}


def choose_synthetic(
    manifest: pd.DataFrame, *, asked: Mapping[int, int], seed: int
) -> npt.NDArray[np.int64]:
    """Choose of every GAN up to as many images of each class as are asked of it.

    A class with fewer images than that gives all it has, and no other class is
    overfilled for it. Which images are chosen depends on seed and content alone, never on the
    order of the rows; an image that occurs more than once counts for its first GAN only.

    Args:
        manifest: rows with ``image_id``, ``label``, ``gan_seed`` and ``latent_seed``.
        asked: label -> most images of one GAN.
        seed: decides which images are chosen where there are more than enough.

    Returns:
        int64 ``[M]`` row numbers, ordered by GAN, class, latent seed and image.
    """
    order = ["gan_seed", "label", "latent_seed", "image_id"]
    frame = manifest[order].reset_index(drop=True).assign(row=np.arange(len(manifest)))
    frame = frame.sort_values(order).drop_duplicates("image_id")
    frame["drawn"] = [_draw(seed, image_id) for image_id in frame["image_id"]]
    rank = frame.sort_values("drawn").groupby(["gan_seed", "label"]).cumcount()
    share = frame["label"].map(dict(asked)).fillna(0)
    chosen = frame[rank.reindex(frame.index) < share]
    return chosen["row"].to_numpy(np.int64)


def _draw(seed: int, name: str) -> str:
    """Return the lot that ``name`` draws: hex digits, uniform and independent of all others."""
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()

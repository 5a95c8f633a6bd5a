"""The names of the arms: what the comparison is made of, and which part each plays."""

from __future__ import annotations

REAL = "real"
CLASSICAL = "real+classical"
DUPLICATED = "real+classical+duplicated"
MIXUP = "real+classical+mixup"
PSEUDO_LABELLED = "real+classical+pseudo-labelled"
UNFILTERED = "real+classical+unfiltered"
FILTERED = "real+classical+filtered"
SYNTHETIC_ONLY = "synthetic only"

NON_SYNTHETIC = (REAL, CLASSICAL, DUPLICATED, MIXUP, PSEUDO_LABELLED)
SYNTHETIC = (UNFILTERED, FILTERED, SYNTHETIC_ONLY)
ARMS = (*NON_SYNTHETIC, *SYNTHETIC)
_FRACTION = f"{CLASSICAL} at "


def fraction_arm(share: float) -> str:
    """Return the name of `CLASSICAL` on another number of real images, 1.0 being all."""
    return f"{_FRACTION}{100.0 * share:g} %"


def fraction_of(arm: str) -> float | None:
    """Return the share of the real images that an arm of the curve trains on, None for others."""
    if not arm.startswith(_FRACTION):
        return None
    return float(arm.removeprefix(_FRACTION).removesuffix(" %")) / 100.0

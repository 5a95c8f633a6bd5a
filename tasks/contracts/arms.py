"""The names of the arms: what the comparison is made of, and which part each plays.

An arm is a recipe, which is the same in all of them, and an addition to the real images.
"""

from __future__ import annotations

REAL = "real"
REPEATED = f"{REAL}+repeated"
PASTED = f"{REAL}+pasted"
DISTILLED = f"{REAL}+distilled"
PSEUDO_LABELLED = f"{REAL}+pseudo-labelled"
OTHER_DOMAIN = f"{REAL}+other domain"
AFTER_OTHER_DOMAIN = f"{REAL} after other domain"
ADAPTED = f"{OTHER_DOMAIN}, adapted"
UNFILTERED = f"{REAL}+unfiltered"
FILTERED = f"{REAL}+filtered"
SYNTHETIC_ONLY = "synthetic only"

NON_SYNTHETIC = (
    REAL,
    REPEATED,
    PASTED,
    DISTILLED,
    PSEUDO_LABELLED,
    OTHER_DOMAIN,
    AFTER_OTHER_DOMAIN,
    ADAPTED,
)
SYNTHETIC = (UNFILTERED, FILTERED, SYNTHETIC_ONLY)
ARMS = (*NON_SYNTHETIC, *SYNTHETIC)
COMPARED = (*NON_SYNTHETIC, UNFILTERED, FILTERED)  # any of them may turn out the best
_FRACTION = f"{REAL} at "


def fraction_arm(share: float) -> str:
    """Return the name of `REAL` on another number of real images, 1.0 being all."""
    return f"{_FRACTION}{100.0 * share:g} %"


def fraction_of(arm: str) -> float | None:
    """Return the share of the real images that an arm of the curve trains on, None for others."""
    if not arm.startswith(_FRACTION):
        return None
    return float(arm.removeprefix(_FRACTION).removesuffix(" %")) / 100.0

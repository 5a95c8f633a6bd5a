"""The rules of the filter, in the order applied: what each rejects, and what would soften it.

Some choose among the images of one GAN and class: by p(real), or to fill a quota with variety.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.spatial.distance import cdist
from scipy.special import expit, logit

from tasks.contracts.params.quality_filter import QualityFilterParams
from tasks.quality.neighbours import Features, Rows, Scores, radii

Mask = npt.NDArray[np.bool_]
Describe = Callable[[Rows], Features]
"""Rows of the pool ``[N]`` to their features ``[N, D]``."""

COPIES = ("copy", "near duplicate")
BY_THRESHOLD = ("threshold", "informative")  # of `select`: p(real) must reach a quantile
_FARTHEST = 700.0  # from an acceptance of one half, in logits: past it a float64 is 0 or 1
_NEIGHBOUR = 5


def best_share(scores: Scores, share: float) -> Rows:
    """Return the rows of the best `share` (0..1], one at least, the best first; ties by row."""
    count = max(1, round(share * len(scores)))
    order: Rows = np.argsort(-scores, kind="stable")[:count]
    return order


def acceptance(p_real: Scores, share: float) -> Scores:
    """Return the probability ``[N]`` of accepting each image in discriminator rejection sampling.

    Azadi et al. 2019 (arXiv:1810.06758, eq. 7 and 8): with the density ratio
    ``r = p / (1 - p)``, ``sigmoid(F - gamma)`` where ``F = logit(r / max r)``. At gamma 0 that is
    ``r / max r``, and what is accepted follows the real density. One image with a huge ratio then
    leaves nearly nothing, so gamma is lowered, never raised, until `share` of the images is
    accepted on average: accepting more stays nearer to the pool.

    Args:
        p_real: calibrated, ``[N]`` in 0..1.
        share: least mean of the result, 0..1.
    """
    log_ratio = logit(np.clip(p_real, 1e-12, 1.0 - 1e-12))
    below = np.minimum(log_ratio - log_ratio.max(), -1e-12)  # log(r / max r), 0 kept finite
    shift = below - np.log(-np.expm1(below))

    def excess(gamma: float) -> float:
        return float(expit(shift - gamma).mean()) - share

    if excess(0.0) >= 0.0:
        return np.asarray(expit(shift), dtype=np.float64)
    if excess(-_FARTHEST) <= 0.0:  # a share of 1
        return np.ones(len(p_real))
    gamma = brentq(excess, -_FARTHEST, 0.0)
    return np.asarray(expit(shift - gamma), dtype=np.float64)


def at_random(count: int, quota: int, rng: np.random.Generator) -> Rows:
    """Return `quota` of `count` row numbers at random, none twice."""
    rows: Rows = rng.permutation(count)[:quota].astype(np.int64)
    return rows


def farthest_point(features: Features, quota: int, rng: np.random.Generator) -> Rows:
    """Return `quota` rows that leave no other row far from all of them.

    Greedy k-centre (Gonzalez 1985; Sener and Savarese 2018, arXiv:1708.00489, alg. 1): at most
    twice the best possible radius. It begins with the row nearest to the mean, so `rng` is not
    drawn from. Time is in proportion to rows times quota.
    """
    features = np.asarray(features, dtype=np.float64)
    mean = features.mean(axis=0, keepdims=True)
    chosen = [int(cdist(features, mean)[:, 0].argmin())]
    gap = cdist(features, features[chosen])[:, 0]
    for _ in range(1, min(quota, len(features))):
        gap[chosen[-1]] = -1.0  # chosen, and not again, even among equals
        chosen.append(int(gap.argmax()))
        gap = np.minimum(gap, cdist(features, features[chosen[-1:]])[:, 0])
    return np.array(chosen, dtype=np.int64)


def density_balanced(features: Features, quota: int, rng: np.random.Generator) -> Rows:
    """Return `quota` rows at random, the likelier the sparser it is around them.

    The weight of a row is its distance to its 5th nearest other, among 5,000 of them at most: the
    inverse density along a line. The true dimension would as its exponent leave all the weight
    to the outermost row.
    """
    if len(features) < 2:
        return at_random(len(features), quota, rng)
    radius = radii(features, min(_NEIGHBOUR, len(features) - 1))
    weight = radius + 1e-6 * (radius.max() or 1.0)  # repeated rows have a radius of 0
    size = min(quota, len(features))
    rows: Rows = rng.choice(len(features), size, replace=False, p=weight / weight.sum())
    return rows.astype(np.int64)


FILLS: dict[str, Callable[[Features, int, np.random.Generator], Rows]] = {
    "farthest_point": farthest_point,
    "density": density_balanced,
}


@dataclass(frozen=True)
class Case:
    """What a rule looks at.

    Attributes:
        table: a row for each of M pool images: gan_seed, label, the scores, and ``_threshold``
            beside each score that has one.
        describe: features of pool images, made when a rule asks for them.
        left: ``[M]``, what the rules before have left.
        params: of the filter.
        seed: of draws.
    """

    table: pd.DataFrame
    describe: Describe
    left: Mask
    params: QualityFilterParams
    seed: int

    def groups(self, draw: int) -> Iterator[tuple[Rows, np.random.Generator]]:
        """Yield for each GAN and class the rows that are left, and random numbers of its own."""
        for _, rows in self.table[self.left].groupby(["gan_seed", "label"]):
            gan, label = rows[["gan_seed", "label"]].iloc[0]
            yield (
                rows.index.to_numpy(np.int64),
                np.random.default_rng([self.seed, draw, int(gan), int(label)]),
            )

    def all_but(self, kept: list[Rows]) -> Mask:
        """Mark what is left, but for the rows that are kept."""
        rejected = self.left.copy()
        for rows in kept:
            rejected[rows] = False
        return rejected


@dataclass(frozen=True)
class Rule:
    """One reason for which images are rejected.

    Attributes:
        reason: as the table of reasons has it.
        mend: what to do if it rejects too many.
        in_force: whether the settings ask for it.
        rejects: ``[M]``, also of images that are no longer left.
    """

    reason: str
    mend: str
    in_force: Callable[[QualityFilterParams], bool]
    rejects: Callable[[Case], Mask]


def _marked(column: str) -> Callable[[Case], Mask]:
    return lambda case: case.table[column].to_numpy(np.bool_)


def _unmarked(column: str) -> Callable[[Case], Mask]:
    return lambda case: ~case.table[column].to_numpy(np.bool_)


def _below(score: str) -> Callable[[Case], Mask]:
    """Below its threshold; a score that is no number is rejected."""
    return lambda case: ~(case.table[score] >= case.table[f"{score}_threshold"]).to_numpy()


def _not_among_the_best(case: Case) -> Mask:
    p_real, share = case.table["p_real"].to_numpy(), case.params.top_share
    return case.all_but([rows[best_share(p_real[rows], share)] for rows, _ in case.groups(5)])


def _surest(case: Case) -> Mask:
    """All but the share that classifiers are least sure of, of what the rules before have left.

    What they are sure of tells the next classifier little (uncertainty sampling, Lewis and Gale
    1994, arXiv:cmp-lg/9407020; of generated images, Hemmat et al. 2024, arXiv:2310.00158).
    """
    confidence, share = case.table["confidence"].to_numpy(), case.params.top_share
    return case.all_but([rows[best_share(-confidence[rows], share)] for rows, _ in case.groups(8)])


def _not_drawn(case: Case) -> Mask:
    p_real, share = case.table["p_real"].to_numpy(), case.params.top_share
    return case.all_but(
        [
            rows[rng.random(len(rows)) < acceptance(p_real[rows], share)]
            for rows, rng in case.groups(6)
        ]
    )


def _over_quota(case: Case) -> Mask:
    quota, fill = case.params.per_class, FILLS.get(case.params.diversity)
    assert quota is not None  # or the rule is not in force
    return case.all_but(
        [
            rows[
                fill(case.describe(rows), quota, rng)
                if fill is not None
                else at_random(len(rows), quota, rng)
            ]
            for rows, rng in case.groups(7)
        ]
    )


_LESS_COPY = "Lower quality_filter.copy_quantile"
_LOW_P_REAL = "low p_real"
RULES = (
    Rule(COPIES[0], _LESS_COPY, lambda p: p.reject_copies, _marked("is_copy")),
    Rule(COPIES[1], _LESS_COPY, lambda p: p.reject_copies, _marked("is_duplicate")),
    Rule(
        "not authentic",
        "Set quality_filter.authentic=false",
        lambda p: p.reject_copies and p.authentic,
        _unmarked("authentic"),
    ),
    Rule(
        "other label",
        "Set quality_filter.agreement=false",
        lambda p: p.agreement and p.select != "informative",
        _unmarked("agrees"),
    ),
    Rule(
        "other label",
        "Set quality_filter.select=threshold",
        lambda p: p.select == "informative",
        _unmarked("agrees"),
    ),
    Rule(
        "low confidence",
        "Lower quality_filter.confidence_quantile (0 switches the rule off)",
        lambda p: p.confidence_quantile > 0,
        _below("confidence"),
    ),
    Rule(
        "low margin",
        "Lower quality_filter.margin_quantile (0 switches the rule off)",
        lambda p: p.margin_quantile > 0,
        _below("margin"),
    ),
    Rule(
        "off manifold",
        "Lower quality_filter.realism_quantile",
        lambda p: p.realism_quantile > 0,
        _below("realism"),
    ),
    Rule(
        _LOW_P_REAL,
        "Lower quality_filter.p_real_quantile",
        lambda p: p.select in BY_THRESHOLD and p.p_real_quantile > 0,
        _below("p_real"),
    ),
    Rule(
        _LOW_P_REAL,
        "Raise quality_filter.top_share",
        lambda p: p.select == "top_share" and p.top_share < 1,
        _not_among_the_best,
    ),
    Rule(
        _LOW_P_REAL,
        "Raise quality_filter.top_share",
        lambda p: p.select == "rejection_sampling",
        _not_drawn,
    ),
    Rule(
        "already sure",
        "Raise quality_filter.top_share",
        lambda p: p.select == "informative" and p.top_share < 1,
        _surest,
    ),
    Rule(
        "over quota",
        "Raise quality_filter.per_class",
        lambda p: p.per_class is not None,
        _over_quota,
    ),
)


def in_force(params: QualityFilterParams) -> tuple[Rule, ...]:
    """Return the rules that the settings ask for, in the order applied."""
    return tuple(rule for rule in RULES if rule.in_force(params))

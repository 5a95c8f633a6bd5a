"""The rules of the filter, in the order applied: what each rejects, and what would soften it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.contracts.params.quality_filter import QualityFilterParams
from tasks.quality.choice import FILLS, Rows, acceptance, best_share
from tasks.quality.manifold import Features

Mask = npt.NDArray[np.bool_]
COPIES = ("copy", "near duplicate")


@dataclass(frozen=True)
class Case:
    """What a rule looks at.

    Attributes:
        table: a row for each of M pool images: gan_seed, label, the scores, and ``_threshold``
            beside each score that has one.
        features: ``[M, D]``.
        left: ``[M]``, what the rules before have left.
        params: of the filter.
        seed: of draws.
    """

    table: pd.DataFrame
    features: Features
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


def _not_drawn(case: Case) -> Mask:
    p_real, share = case.table["p_real"].to_numpy(), case.params.top_share
    return case.all_but(
        [
            rows[rng.random(len(rows)) < acceptance(p_real[rows], share)]
            for rows, rng in case.groups(6)
        ]
    )


def _over_quota(case: Case) -> Mask:
    quota, fill = case.params.per_class, FILLS[case.params.diversity]
    assert quota is not None  # or the rule is not in force
    return case.all_but(
        [rows[fill(case.features[rows], quota, rng)] for rows, rng in case.groups(7)]
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
        lambda p: p.agreement,
        _unmarked("agrees"),
    ),
    Rule(
        "low confidence",
        "Lower quality_filter.confidence_quantile",
        lambda p: p.confidence_quantile > 0,
        _below("confidence"),
    ),
    Rule(
        "low margin",
        "Lower quality_filter.margin_quantile",
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
        lambda p: p.select == "threshold" and p.p_real_quantile > 0,
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
        "over quota",
        "Raise quality_filter.per_class",
        lambda p: p.per_class is not None,
        _over_quota,
    ),
)


def in_force(params: QualityFilterParams) -> tuple[Rule, ...]:
    """Return the rules that the settings ask for, in the order applied."""
    return tuple(rule for rule in RULES if rule.in_force(params))

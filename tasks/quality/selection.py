"""Which synthetic images are accepted, and why the others are not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Labels
from tasks.contracts.params.quality_filter import QualityFilterParams
from tasks.quality.memorisation import class_quantiles
from tasks.quality.neighbours import Scores
from tasks.quality.rules import BY_THRESHOLD, RULES, Case, Describe, in_force

ACCEPTED = "accepted"
REASONS = (ACCEPTED, *dict.fromkeys(rule.reason for rule in RULES))
_EVERY_GAN = -1  # in place of a GAN seed, where a score does not depend on the GAN


@dataclass(frozen=True)
class Scored:
    """The pool with its scores, and what real images score.

    Attributes:
        table: one row for each of M pool images: gan_seed, label, class_name and what the rules
            go by (p_real, confidence, margin, agrees, realism, authentic, is_copy, is_duplicate).
        real: scores of held-out real images: score, gan_seed, label, value.
        describe: features of pool images, made when a rule asks for them.
        asked: label -> images that the merge asks of each GAN; None where that is not known.
    """

    table: pd.DataFrame
    real: pd.DataFrame
    describe: Describe
    asked: Mapping[int, int] | None = None


def real_scores(
    scores: Mapping[str, Scores], labels: Labels, gan_seed: int = _EVERY_GAN
) -> pd.DataFrame:
    """Return rows for `Scored.real`: each score ``[N]`` of real images with these labels ``[N]``.

    Without a GAN seed, they hold for the images of every GAN.
    """
    parts = [
        pd.DataFrame({"score": score, "gan_seed": gan_seed, "label": labels, "value": values})
        for score, values in scores.items()
    ]
    return pd.concat(parts, ignore_index=True)


def with_thresholds(scored: Scored, params: QualityFilterParams) -> pd.DataFrame:
    """Return the table with a ``_threshold`` beside each score that has a quantile.

    No number where the quantile is 0, which asks nothing, or p(real) selects otherwise. Where real
    images score no better than a guess would, the threshold is what a guess would score.
    """
    table = scored.table.copy()
    classes = int(table["label"].max()) + 1
    guess = {"confidence": 1.0 / classes, "margin": 0.0}
    quantiles = {
        "p_real": params.p_real_quantile if params.select in BY_THRESHOLD else 0.0,
        "confidence": params.confidence_quantile,
        "margin": params.margin_quantile,
        "realism": params.realism_quantile,
    }
    for score, quantile in quantiles.items():
        column = f"{score}_threshold"
        table[column] = np.nan
        if quantile > 0:
            mine = scored.real[scored.real["score"] == score]
            for gan_seed, rows in mine.groupby("gan_seed"):
                limits = class_quantiles(
                    rows["value"].to_numpy(), rows["label"].to_numpy(), classes, quantile
                )
                of = (table["gan_seed"] == gan_seed) | (gan_seed == _EVERY_GAN)
                least = np.maximum(limits, guess.get(score, -np.inf))
                table.loc[of, column] = least[table.loc[of, "label"]]
    return table


def decide(scored: Scored, params: QualityFilterParams, seed: int) -> pd.DataFrame:
    """Return the table with its thresholds and, as ``reason``, one of `REASONS` for each row.

    It is the reason of the first rule that rejects the row, or ``accepted``.
    """
    table = with_thresholds(scored, params)
    reason = np.full(len(table), ACCEPTED, dtype=object)
    for rule in in_force(params):
        left = reason == ACCEPTED
        rejected = rule.rejects(Case(table, scored.describe, left, params, seed))
        reason[left & rejected] = rule.reason
    return table.assign(reason=pd.Series(reason, dtype="str"))


@dataclass(frozen=True)
class Emptied:
    """A GAN of which no image was accepted, or none of one of its classes.

    Attributes:
        gan_seed: the GAN.
        class_name: the class; None is all of them.
        made: how many images of it the GAN made.
        reason: for which most of them were rejected, one of `REASONS`.
        rejected: how many of them for that reason.
    """

    gan_seed: int
    class_name: str | None
    made: int
    reason: str
    rejected: int

    def __str__(self) -> str:
        """Return it as a person reads it."""
        of_class = "" if self.class_name is None else f" of class {self.class_name!r}"
        return (
            f"none of GAN {self.gan_seed}'s {self.made:,} images{of_class} was accepted; "
            f"{self.rejected:,} fell to {self.reason}"
        )


def emptied(table: pd.DataFrame, asked: Mapping[int, int] | None = None) -> list[Emptied]:
    """Return the classes of GANs that are left without images, where some are asked for.

    Args:
        table: gan_seed, label, class_name and reason of the pool.
        asked: as in `Scored`.
    """
    found = []
    every = _asked_for(table, asked)
    for (gan_seed, class_name), rows in every.groupby(["gan_seed", "class_name"]):
        if fell := _fell(rows):
            found.append(Emptied(int(str(gan_seed)), str(class_name), len(rows), *fell))
    return found


def emptied_gans(table: pd.DataFrame, asked: Mapping[int, int] | None = None) -> list[Emptied]:
    """Return the GANs that are left without any image of what is asked for.

    Args:
        table: as in `emptied`.
        asked: as in `Scored`.
    """
    return [
        Emptied(int(str(gan_seed)), None, len(rows), *fell)
        for gan_seed, rows in _asked_for(table, asked).groupby("gan_seed")
        if (fell := _fell(rows))
    ]


def _fell(rows: pd.DataFrame) -> tuple[str, int] | None:
    """Return what most of these images were rejected for, and how many; None if one was not."""
    counts = rows["reason"].value_counts()
    return None if ACCEPTED in counts else (str(counts.index[0]), int(counts.iloc[0]))


def check_any_gan(
    table: pd.DataFrame, params: QualityFilterParams, asked: Mapping[int, int] | None = None
) -> None:
    """Refuse a filter that leaves no GAN with an image: there would be nothing to judge.

    Args:
        table: as in `emptied`.
        params: with which it was decided.
        asked: as in `Scored`.

    Raises:
        UserError: names the rule that rejected most images.
    """
    if fell := _fell(rows := _asked_for(table, asked)):
        reason, most = fell
        mends = {rule.reason: rule.mend for rule in in_force(params)}
        seeds = rows["gan_seed"].unique()
        raise UserError(
            f"GAN {seeds[0]}" if len(seeds) == 1 else f"all {len(seeds)} GANs",
            f"none of {len(rows):,} images was accepted; {most:,} fell to {reason}",
            f"{mends[reason]}, or train longer (train_gan.total_kimg)",
        )


def _asked_for(table: pd.DataFrame, asked: Mapping[int, int] | None) -> pd.DataFrame:
    return table if asked is None else table[table["label"].map(dict(asked)) > 0]


@dataclass(frozen=True)
class Shortfall:
    """A class of which fewer images were accepted than the merge asks for.

    Attributes:
        asked: of each GAN.
        accepted: of the GAN that has fewest.
        per_needed: images to make for each that is asked for, at this GAN's rate of acceptance
            with a tenth to spare; None where it has none.
    """

    asked: int
    accepted: int
    per_needed: int | None


def shortfalls(table: pd.DataFrame, asked: Mapping[int, int]) -> dict[str, Shortfall]:
    """Return the classes that fall short, by name.

    Args:
        table: gan_seed, label, class_name and reason of the pool.
        asked: as in `Scored`.
    """
    kept = table.assign(kept=table["reason"].eq(ACCEPTED))
    counts = kept.groupby(["label", "class_name", "gan_seed"])["kept"].agg(["sum", "size"])
    short = {}
    fewest = counts.reset_index().sort_values(["label", "sum"]).drop_duplicates("label")
    for row in fewest.to_dict("records"):
        accepted, wanted = int(row["sum"]), asked[int(row["label"])]
        if accepted < wanted:
            more = math.ceil(1.1 * int(row["size"]) / accepted) if accepted else None
            short[str(row["class_name"])] = Shortfall(wanted, accepted, more)
    return short


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

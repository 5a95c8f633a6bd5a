"""May the GANs and their images be shared? What is promised, and what attacks reach."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from tasks.contracts.privacy import (
    FALSE_POSITIVES,
    Guarantee,
    Unit,
    most_area,
    most_true_positives,
    weakest,
)
from tasks.lift.parts import Part, Rounded


class Reached(Part):
    """What an attack reaches, 0 to 1, and the ends of its 95 % confidence interval."""

    value: Rounded
    ci_low: Rounded
    ci_high: Rounded


class Attack(Part):
    """How well an attack tells training images from others, see `tasks.quality.membership`.

    Attributes:
        auc: share of pairs in which the training image looks more like one; 0.5 is chance.
        tpr: share of training images found, where 1 % of the others are taken for such; 0.01 is
            chance. None where there are too few others.
        members: training images, or groups of them, that were attacked.
        non_members: of real/val beside them.
        unit: what is counted: images, or groups of images that an attacker has all of.
        most_auc: the largest that the guarantee allows, to who sees all GANs; None without one.
        most_tpr: likewise.
    """

    auc: Reached
    tpr: Reached | None
    members: int
    non_members: int
    unit: Unit = "image"
    most_auc: Rounded | None
    most_tpr: Rounded | None

    @property
    def finds(self) -> bool:
        """It does better than chance: one of its intervals lies above that."""
        rare = self.tpr is not None and self.tpr.ci_low > FALSE_POSITIVES
        return self.auc.ci_low > 0.5 or rare

    @property
    def breaks(self) -> bool:
        """It reaches more than the guarantee allows: one of its intervals lies above that."""
        area = self.most_auc is not None and self.auc.ci_low > self.most_auc
        if self.tpr is None or self.most_tpr is None:
            return area
        return area or self.tpr.ci_low > self.most_tpr


class Sharing(Part):
    """What a stranger could learn of the training images.

    Attributes:
        guarantee: that of the GAN which spends most; None where a GAN has none. Over folds,
            ``gans`` and ``epsilon_together`` are those of all of them, the rest is one fold's.
        attacks: by what they go by: ``nearest`` (the images alone), ``discriminator``.
    """

    guarantee: Guarantee | None
    attacks: dict[str, Attack]


def sharing(gans: Mapping[str, Any], filtered: Mapping[str, Any]) -> Sharing | None:
    """Return what is told of sharing; None in results of former versions, which measured nothing.

    Args:
        gans: content of ``gan.json``; ``privacy`` of each is None or a `Guarantee`.
        filtered: content of ``filter.json``, of which ``membership`` is told.
    """
    measured = filtered.get("membership")
    if measured is None:
        return None
    promised = [gan.get("privacy") for gan in gans.values()]
    given = promised if all(promised) else []
    guarantee = weakest(Guarantee(**one) for one in given) if given else None
    bounds = {"most_auc": None, "most_tpr": None} if guarantee is None else _bounds(guarantee)
    attacks = {name: Attack(**found, **bounds) for name, found in measured.items() if found}
    return Sharing(guarantee=guarantee, attacks=attacks)


def _bounds(guarantee: Guarantee) -> dict[str, float | None]:
    epsilon, delta = guarantee.epsilon_together, guarantee.delta
    return {
        "most_auc": most_area(epsilon, delta),
        "most_tpr": most_true_positives(epsilon, delta, FALSE_POSITIVES),
    }


def sharing_over(folds: Sequence[Sharing | None], epsilon: float | None) -> Sharing | None:
    """Return what is told of the GANs of all folds; None where a fold tells nothing.

    An attack's figures, the ends of its intervals and its bounds are means over folds: the folds'
    images overlap, so that intervals of means would be too narrow by an unknown part, and those of
    one fold are wide enough whatever they share.

    Args:
        folds: at least one.
        epsilon: what the GANs of all folds spend together; None where one has no guarantee.
    """
    told = [fold for fold in folds if fold is not None]
    if len(told) < len(folds):
        return None
    promised = [fold.guarantee for fold in told if fold.guarantee is not None]
    guarantee = None
    if epsilon is not None:
        gans = sum(one.gans for one in promised)
        guarantee = dataclasses.replace(weakest(promised), gans=gans, epsilon_together=epsilon)
    names = [name for name in told[0].attacks if all(name in fold.attacks for fold in told)]
    found = {name: _mean([fold.attacks[name].model_dump() for fold in told]) for name in names}
    return Sharing(
        guarantee=guarantee, attacks={name: Attack(**means) for name, means in found.items()}
    )


def _mean(parts: Sequence[Any]) -> Any:
    """Return the means of figures of one structure; None where a part lacks one."""
    if any(part is None for part in parts):
        return None
    if isinstance(parts[0], dict):
        return {name: _mean([part[name] for part in parts]) for name in parts[0]}
    if isinstance(parts[0], str):
        return max(parts, key=parts.count)
    mean = fmean(parts)
    return round(mean) if isinstance(parts[0], int) else mean

"""What every run said about every test image, checked so that runs can be paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.contracts.arms import ARMS, fraction_of
from tasks.contracts.errors import UserError
from tasks.lift.metrics import Floats, Labels

_MEND = "Run `ganlift run --from retrain`, which makes runs and predictions anew"


@dataclass(frozen=True)
class ArmRuns:
    """The runs of one arm, in the order of their seeds.

    Attributes:
        seeds: S classifier seeds, rising.
        gan_seeds: the GAN behind each run, or None for an arm without synthetic images.
        predicted: predicted labels ``[S, N]``.
        p_label: probability given to the true label ``[S, N]``, 0 to 1.
    """

    seeds: tuple[int, ...]
    gan_seeds: tuple[int, ...] | None
    predicted: Labels
    p_label: Floats


@dataclass(frozen=True)
class Predictions:
    """The test set and every arm's runs on it.

    Attributes:
        labels: true labels ``[N]``, 0 to K-1.
        groups: group number of each image ``[N]``; images of a group are not independent.
        arms: the runs by name of the arm, fractions of the real images last.
    """

    labels: Labels
    groups: Labels
    arms: dict[str, ArmRuns]


def read_predictions(frame: pd.DataFrame, class_names: Sequence[str]) -> Predictions:
    """Pivot the long table of predictions.

    Args:
        frame: a row per arm, seed and test image: arm, seed, gan_seed, image_id, group, label,
            predicted, p_label.
        class_names: K names in the order of the labels.

    Raises:
        UserError: runs that saw different images or seeds, a single seed, labels that no class
            has, or a class without a test image.
    """
    runs: dict[str, dict[int, pd.DataFrame]] = {}
    for arm, of_arm in sorted(frame.groupby("arm", observed=True), key=_place):
        by_run = (rows for _, rows in of_arm.groupby("seed", sort=True))
        runs[str(arm)] = {int(rows["seed"].iloc[0]): rows for rows in by_run}
    if not runs:
        raise UserError("predictions", "hold no runs", _MEND)
    first = next(iter(next(iter(runs.values())).values()))
    image_ids, labels = first["image_id"].to_numpy(), first["label"].to_numpy(np.int64)
    _check_labels(labels, class_names)

    arms: dict[str, ArmRuns] = {}
    seeds = tuple(next(iter(runs.values())))
    if len(seeds) < 2:
        raise UserError(
            f"retrain.seeds {list(seeds)}",
            "one seed says nothing about another, so there is no interval",
            "Set at least 2, better 8, and run `ganlift run`",
        )
    for arm, by_seed in runs.items():
        if tuple(by_seed) != seeds:
            raise UserError(
                f"arm {arm!r}", f"has seeds {list(by_seed)}, others {list(seeds)}", _MEND
            )
        for seed, rows in by_seed.items():
            if not np.array_equal(rows["image_id"].to_numpy(), image_ids):
                raise UserError(f"arm {arm!r}, seed {seed}", "was judged on other images", _MEND)
        predicted = np.stack([rows["predicted"].to_numpy(np.int64) for rows in by_seed.values()])
        if predicted.min() < 0 or predicted.max() >= len(class_names):
            raise UserError(f"arm {arm!r}", "predicts labels that no class has", _MEND)
        p_label = np.stack([rows["p_label"].to_numpy(np.float64) for rows in by_seed.values()])
        gans = [rows["gan_seed"].iloc[0] for rows in by_seed.values()]
        without = any(pd.isna(gan) for gan in gans)
        gan_seeds = None if without else tuple(int(gan) for gan in gans)
        arms[arm] = ArmRuns(seeds, gan_seeds, predicted, p_label)
    return Predictions(labels, pd.factorize(first["group"])[0].astype(np.int64), arms)


def _place(named: tuple[object, pd.DataFrame]) -> tuple[float, str]:
    """Order the arms as they are declared, then fractions of the real images by their size."""
    arm = str(named[0])
    place = ARMS.index(arm) if arm in ARMS else len(ARMS) + (fraction_of(arm) or 0.0)
    return place, arm


def _check_labels(labels: Labels, class_names: Sequence[str]) -> None:
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise UserError("predictions", f"hold labels outside 0 to {len(class_names) - 1}", _MEND)
    images = np.bincount(labels, minlength=len(class_names))
    for name, count in zip(class_names, images, strict=True):
        if count == 0:
            raise UserError(
                f"class {name!r}",
                "has no test image, so nothing can be said about it",
                "Add images of it, raise ingest.test_share, or leave the class out",
            )

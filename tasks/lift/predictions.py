"""What every run said about every test image, checked so that runs can be paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.contracts.errors import UserError
from tasks.lift.metrics import Labels

_MEND = "Run `ganlift run --from retrain`, which makes runs and predictions anew"


@dataclass(frozen=True)
class ArmRuns:
    """The runs of one arm, in the order of their seeds.

    Attributes:
        seeds: S classifier seeds, rising.
        gan_seeds: the GAN behind each run, or None for an arm without synthetic images.
        predicted: predicted labels ``[S, N]``.
    """

    seeds: tuple[int, ...]
    gan_seeds: tuple[int, ...] | None
    predicted: Labels


@dataclass(frozen=True)
class Predictions:
    """The test set and every arm's runs on it.

    Attributes:
        labels: true labels ``[N]``, 0 to K-1.
        groups: group number of each image ``[N]``; images of a group are not independent.
        arms: the runs by name of the arm.
    """

    labels: Labels
    groups: Labels
    arms: dict[str, ArmRuns]


def read_predictions(frame: pd.DataFrame, class_names: Sequence[str]) -> Predictions:
    """Pivot the long table of predictions.

    Args:
        frame: a row per arm, seed and test image: arm, seed, gan_seed, image_id, group, label,
            predicted.
        class_names: K names in the order of the labels.

    Raises:
        UserError: runs that saw different images or seeds, labels that no class has, or a
            class without a test image.
    """
    runs: dict[str, dict[int, pd.DataFrame]] = {}
    for arm, of_arm in frame.groupby("arm", sort=True, observed=True):
        runs[str(arm)] = {
            int(seed): of_arm[of_arm["seed"] == seed] for seed in sorted(of_arm["seed"].unique())
        }
    if not runs:
        raise UserError("predictions", "hold no runs", _MEND)
    first = next(iter(next(iter(runs.values())).values()))
    image_ids, labels = first["image_id"].to_numpy(), first["label"].to_numpy(np.int64)
    _check_labels(labels, class_names)

    arms: dict[str, ArmRuns] = {}
    seeds = tuple(next(iter(runs.values())))
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
        gans = [rows["gan_seed"].iloc[0] for rows in by_seed.values()]
        without = any(pd.isna(gan) for gan in gans)
        arms[arm] = ArmRuns(seeds, None if without else tuple(int(g) for g in gans), predicted)
    return Predictions(labels, pd.factorize(first["group"])[0].astype(np.int64), arms)


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

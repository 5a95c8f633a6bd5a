"""What retrain writes, made up: small, seeded, with a planted effect."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tasks.contracts.arms import (
    ADAPTED,
    AFTER_OTHER_DOMAIN,
    ARMS,
    DISTILLED,
    FILTERED,
    OTHER_DOMAIN,
    PASTED,
    PSEUDO_LABELLED,
    REPEATED,
    SYNTHETIC,
    SYNTHETIC_ONLY,
    UNFILTERED,
    fraction_arm,
    fraction_of,
)
from tasks.contracts.params.report import ReportParams
from tasks.lift.metrics import METRICS, Counter, recall
from tests.contracts.tiny import tiny_values

DIGITS = tuple(str(digit) for digit in range(10))
FRACTIONS = tuple(fraction_arm(share) for share in (0.25, 0.5, 2.0))
_EFFECTS = {REPEATED: -0.02, UNFILTERED: 0.3, SYNTHETIC_ONLY: -1.5} | dict(
    zip(FRACTIONS, (-0.6, -0.3, 0.3), strict=True)
)


def report_params(**changes: Any) -> ReportParams:
    return ReportParams(**(tiny_values()["report"] | changes))


def fake_predictions(
    class_names: Sequence[str] = DIGITS,
    *,
    effect: float = 0.6,
    test_per_class: int = 40,
    seeds: int = 6,
    gans: int = 3,
    arms: Sequence[str] = (*ARMS, *FRACTIONS),
    seed: int = 0,
) -> pd.DataFrame:
    """Long predictions; the treatment's accuracy moves by ``effect`` in probit units.

    With an effect of 0 the treatment's runs are the baseline's.
    """
    rng = np.random.default_rng(seed)
    classes = len(class_names)
    labels = np.repeat(np.arange(classes), test_per_class)
    easiness = rng.normal(1.3, 1.0, len(labels)) + 0.4 * np.sin(labels)
    of_class = 1.0 + 0.7 * np.cos(2.1 * labels)  # the effect differs from class to class
    wrong = (labels + rng.integers(1, classes, len(labels))) % classes
    ids = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(len(labels))]
    frames = []
    for classifier_seed in range(seeds):
        noise = rng.normal(0.0, 0.5, len(labels)) + rng.normal(0.0, 0.05)
        for arm in arms:
            gan_arm = arm in SYNTHETIC
            treated = arm == FILTERED
            shift = effect * of_class if treated else _EFFECTS.get(arm, 0.0)
            own = rng.normal(0.0, 0.06, len(labels)) if np.any(shift) else 0.0
            hit = easiness + noise + shift + own > 0
            frames.append(
                pd.DataFrame(
                    {
                        "arm": arm,
                        "seed": classifier_seed,
                        "gan_seed": pd.array(
                            [classifier_seed % gans if gan_arm else pd.NA] * len(labels),
                            dtype="Int64",
                        ),
                        "image_id": ids,
                        "group": ids,
                        "label": labels,
                        "predicted": np.where(hit, labels, wrong),
                        "p_label": np.where(hit, 0.9, 0.2),
                        "confidence": 0.9,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def runs_of(
    predictions: pd.DataFrame, classes: int, *, steps: int = 30, real: int = 60
) -> pd.DataFrame:
    """The table of runs that belongs to predictions; on real/val as on test, a little below.

    Every GAN has another number of images, so that arms match within a seed alone.
    """
    rows = []
    for (arm, seed), run in predictions.groupby(["arm", "seed"]):
        labels, predicted, p_label = (
            run[column].to_numpy() for column in ("label", "predicted", "p_label")
        )
        counts = Counter(labels, predicted[None], p_label[None], classes)(np.ones((1, len(labels))))
        scores = {metric.column: metric.of(counts)[0, 0] for metric in METRICS.values()}
        scores |= {f"recall_{label}": value for label, value in enumerate(recall(counts)[0, 0])}
        own = 0 if arm == SYNTHETIC_ONLY else round(real * (fraction_of(arm) or 1.0))
        added = 0
        if arm in (REPEATED, PASTED, DISTILLED, *SYNTHETIC):
            added = real - seed % 3
        elif arm in (PSEUDO_LABELLED, OTHER_DOMAIN, AFTER_OTHER_DOMAIN, ADAPTED):
            added = 7
        rows.append(
            {"arm": arm, "seed": seed, "gan_seed": run["gan_seed"].iloc[0]}
            | {"recipe": "mixup", "steps": steps, "real": own, "added": added}
            | {"real_seen": 64 * steps * (own > 0), "added_seen": min(added, 64) * steps}
            | scores
            | {"ece": abs(scores["accuracy"] - run["confidence"].mean())}
            | {f"val_{name}": 0.99 * value for name, value in scores.items()}
        )
    return pd.DataFrame(rows).astype({"gan_seed": "Int64"})


def retrained_of(runs: pd.DataFrame, test_ids: Sequence[str]) -> dict[str, Any]:
    """What retrain says of the runs."""
    kept = runs[runs["arm"] == FILTERED].head(1)
    names = [metric.column for metric in METRICS.values()]
    names += [column for column in runs if column.startswith("recall_")]
    return {
        "schema": "ganlift/retrain/2",
        "schedule": "mixed",
        "classifier": "small_cnn",
        "weights": None,
        "learning_rate": 0.002,
        "weight_decay": 0.01,
        "recipe": "mixup",
        "steps": 30,
        "settling": settling_of((("plain", 0.88), ("mixup", 0.93)), steps=(15, 30), chosen=30),
        "settled_by": "plateau",
        "gain": 0.002,
        "gain_standard_error": 0.003,
        "arms": {
            arm: {"real": int(rows["real"].max()), "added": int(rows["added"].max())}
            | {"added_per_step": 64}
            for arm, rows in runs.groupby("arm")[["real", "added"]]
        },
        "left_out": {fraction_arm(4.0): "class '0' has too few spare images"},
        "test": {
            "images": len(test_ids),
            "digest": hashlib.sha256("\n".join(sorted(test_ids)).encode()).hexdigest(),
        },
        "kept": {
            "arm": FILTERED,
            "seed": 0,
            "gan_seed": 0,
            "sha256": hashlib.sha256(b"weights").hexdigest(),
            "test": {name: float(kept[name].iloc[0]) for name in names},
            "val": {name: float(kept[f"val_{name}"].iloc[0]) for name in names},
        }
        if len(kept)
        else None,
    }


def settling_of(
    recipes: Sequence[tuple[str, float]], *, steps: Sequence[int], chosen: int
) -> list[dict[str, Any]]:
    """What retrain tried on real/val: each recipe gains a little with more steps, the last wins."""
    return [
        {
            "recipe": recipe,
            "steps": number,
            "learning_rate": 0.002,
            "weight_decay": 0.01,
            "val_balanced_accuracy": value + 0.002 * place,
            "standard_error": 0.004,
            "seeds": 4,
            "chosen": (recipe, number) == (recipes[-1][0], chosen),
        }
        for recipe, value in recipes
        for place, number in enumerate(steps)
    ]

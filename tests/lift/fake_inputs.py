"""Everything the report reads, made up: small, seeded, with a planted effect."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.contracts.image_set import ImageSet, image_id
from tests.lift.fake_runs import DIGITS, fake_predictions, report_params, retrained_of, runs_of

INPUTS = (
    "runs",
    "predictions",
    "retrained",
    "classifier",
    "test",
    "pool",
    "scores",
    "merged",
    "control",
    "ingest",
    "validation",
    "gan_metrics",
    "gan_curves",
    "filter_metrics",
    "reasons",
    "reliability",
    "merge_result",
)


def fake_merged(
    class_names: Sequence[str], train: Sequence[int], *, gans: int, size: int, seed: int = 0
) -> ImageSet:
    """Real rows, then as many synthetic rows of each GAN."""
    rng = np.random.default_rng(seed)
    grid = np.linspace(0, 3, size)
    images, rows = [], []
    for gan in [None, *range(gans)]:
        for label, (name, count) in enumerate(zip(class_names, train, strict=True)):
            for _ in range(count):
                wave = np.sin(grid[:, None] * (1 + label % 4) + label) * np.cos(grid * label)
                noise = rng.normal(0, 18 if gan is None else 30, (size, size))
                image = np.clip(110 + 90 * wave + noise, 0, 255).astype(np.uint8)[..., None]
                images.append(image)
                rows.append(
                    {
                        "image_id": image_id(image),
                        "label": label,
                        "class_name": name,
                        "origin": "real" if gan is None else "synthetic",
                        "source": f"{name}/{len(rows)}.png",
                        "group": image_id(image),
                        "gan_seed": gan,
                    }
                )
    manifest = pd.DataFrame(rows).astype({"gan_seed": "Int64"})
    return ImageSet(np.stack(images), manifest)


def fake_line(
    folder: Path,
    class_names: Sequence[str] = DIGITS,
    *,
    train: Sequence[int] | None = None,
    gans: int = 3,
    size: int = 8,
    **of_predictions: Any,
) -> dict[str, Any]:
    """Write every input of the report under ``folder`` and return the arguments of ``run``."""
    train = list(train) if train else [20] * len(class_names)
    predictions = fake_predictions(class_names, gans=gans, **of_predictions)
    inputs = {name: folder / "in" / name for name in INPUTS}
    merged = fake_merged(class_names, train, gans=gans, size=size)
    merged.save(inputs["merged"])
    pool = merged.take(merged.manifest["origin"].eq("synthetic").to_numpy())
    for name in ("pool", "control"):
        pool.save(inputs[name])
    reasons = ("accepted", "low p_real", "low confidence", "copy")
    pool.manifest[["image_id", "class_name", "gan_seed"]].assign(
        reason=np.resize(reasons, len(pool)), p_real=0.4, confidence=0.6, margin=0.2, realism=1.0
    ).to_parquet(inputs["scores"], index=False)
    predictions.to_parquet(inputs["predictions"], index=False)
    runs = runs_of(predictions, len(class_names), real=sum(train))
    runs.to_parquet(inputs["runs"], index=False)
    test_ids = predictions["image_id"].unique().tolist()
    per_class = len(test_ids) // len(class_names)
    judged = fake_merged(class_names, [per_class] * len(class_names), gans=0, size=size, seed=7)
    judged.manifest["image_id"] = test_ids
    judged.save(inputs["test"])
    _write(inputs["retrained"], retrained_of(runs, test_ids))
    counts = {
        split: dict(zip(class_names, train, strict=True))
        for split in ("train", "val", "test", "cut")
    }
    made = [5 * n * gans for n in train]
    _write(
        inputs["ingest"],
        {
            "dataset": "digits",
            "fold": None,
            "folds": None,
            "given_splits": [],
            "shares": {"train": 0.4, "val": 0.15, "test": 0.45},
            "image_size": size,
            "channels": 1,
            "classes": list(class_names),
            "counts": counts,
            "rejected": 3,
            "duplicates": 1,
        },
    )
    expectations = [{"expectation": "ExpectTableRowCountToBeBetween", "passed": True}] * 12
    _write(inputs["validation"], {"success": True, "expectations": expectations})
    _write(
        inputs["merge_result"],
        {
            "success": True,
            "per_class": {name: {"short": 0} for name in class_names},
            "expectations": expectations,
        },
    )
    _write(
        inputs["gan_metrics"],
        {
            str(gan): {
                "checkpoint": hashlib.sha256(str(gan).encode()).hexdigest(),
                "kimg": 200.0,
                "kept_kimg": 168.0,
                "evaluation": {
                    "kid": 0.0123 + 0.001 * gan, "fid": 9.0, "precision": 0.91, "recall": 0.62,
                    "density": 1.04, "coverage": 0.73, "diversity": 0.81,
                    "conditioning": 0.95, "conditioning_real": 0.97,
                    "copy_rate": 0.031, "copy_rate_real": 0.012,
                },
                "by_class": {
                    name: {"coverage": 0.7 + 0.1 * gan, "conditioning": 0.9, "diversity": 0.8}
                    for name in class_names
                },
                "collapsed": [],
                "rollbacks": 0,
                "pseudo_labelled": 0,
                "stopped_early": False,
            }
            for gan in range(gans)
        },
    )  # fmt: skip
    kimg = np.arange(0.0, 200.0, 2.0)
    rng = np.random.default_rng(1)
    pd.concat(
        [
            pd.DataFrame(
                {"gan_seed": gan, "kimg": kimg}
                | {
                    name: end * (1 - np.exp(-kimg / 30)) + rng.normal(0, 0.06, len(kimg))
                    for name, end in {
                        "loss_g": 0.9, "loss_d": 0.5, "logit_real": 0.7, "logit_fake": -0.4,
                        "grad_norm_g": 1.5, "grad_norm_d": 1.1,
                    }.items()
                }
            )
            for gan in range(gans)
        ]
    ).to_csv(inputs["gan_curves"], index=False)  # fmt: skip
    reasons = [
        (name, reason, int(n * share))
        for name, n in zip(class_names, made, strict=True)
        for reason, share in (
            ("accepted", 0.7), ("low p_real", 0.14), ("low confidence", 0.11), ("copy", 0.05),
        )
    ]  # fmt: skip
    pd.DataFrame(reasons, columns=["class_name", "reason", "count"]).to_csv(
        inputs["reasons"], index=False
    )
    bins = np.linspace(0.05, 0.95, 10)
    pd.DataFrame(
        [
            (gan, p_real, min(p_real + 0.03 * gan, 1.0), 20)
            for gan in range(gans)
            for p_real in bins.round(2)
        ],
        columns=["gan_seed", "p_real", "share_real", "images"],
    ).to_csv(inputs["reliability"], index=False)
    _write(inputs["filter_metrics"], fake_filter(reasons, gans))
    return (
        {"dataset": "data/embedded/digits.yaml"}
        | inputs
        | {
            "lift": folder / "out" / "lift.json",
            "page": folder / "out" / "lift.html",
            "pictures": folder / "out" / "pictures",
            "metrics": folder / "out" / "metrics.json",
            **{name: folder / "in" / name for name in ("train", "val", "accepted")},
        }
        | {"params": report_params(), "seed": 0}
    )


def fake_filter(reasons: Sequence[tuple[str, str, int]], gans: int) -> dict[str, Any]:
    """What the filter says of the given (class, reason, count)."""
    counts: dict[str, int] = {}
    for _, reason, count in reasons:
        counts[reason] = counts.get(reason, 0) + count
    left = pool = sum(counts.values())
    quality = {"coverage": 0.73, "recall": 0.62, "precision": 0.91}
    rules = [{"rule": "pool", "rejected": 0, "left": left} | quality]
    for rule in ("copy", "low p_real", "low confidence"):
        left -= counts[rule]
        rules.append({"rule": rule, "rejected": counts[rule], "left": left} | quality)
    rules.append({"rule": "accepted", "rejected": pool - left, "left": left} | quality)
    names = dict.fromkeys(name for name, *_ in reasons)
    return {
        "pool": pool,
        "accepted": left,
        "acceptance_rate": left / pool,
        "copies": counts["copy"],
        "calibration": "logistic",
        "brier": 0.171,
        "brier_per_gan": {str(gan): 0.17 + 0.001 * gan for gan in range(gans)},
        "labels": "hard",
        "temperature": 1.2,
        "rules": rules,
        "authentic": {"pool": 0.91, "accepted": 0.93, "real": 0.95},
        "tuned": None,
        "per_class": {
            name: {
                "pool": sum(count for of, _, count in reasons if of == name),
                "accepted": sum(c for of, why, c in reasons if (of, why) == (name, "accepted")),
                "p_real_threshold": 0.3,
                "confidence_threshold": 0.6,
            }
            for name in names
        },
        "copy_threshold": 0.01,
        "membership": {
            name: {
                "auc": {"value": auc, "ci_low": auc - 0.05, "ci_high": auc + 0.05},
                "tpr": {"value": 0.012, "ci_low": 0.0, "ci_high": 0.03},
                "members": 200,
                "non_members": 150,
            }
            for name, auc in (("nearest", 0.52), ("discriminator", 0.61))
        },
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")

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
from tasks.contracts.params import ARMS, ReportParams
from tasks.lift.metrics import METRICS, Counter, recall
from tests.contracts.tiny import tiny_values

DIGITS = tuple(str(digit) for digit in range(10))
INPUTS = (
    "runs",
    "predictions",
    "merged",
    "control",
    "ingest",
    "validation",
    "gan_metrics",
    "gan_curves",
    "filter_metrics",
    "reasons",
    "merge_result",
)
_EFFECTS = {"real": -0.05, "real+classical+control": 0.3, "synthetic only": -1.5}


def report_params(**changes: Any) -> ReportParams:
    return ReportParams(**(tiny_values()["report"] | changes))


def fake_predictions(
    class_names: Sequence[str] = DIGITS,
    *,
    effect: float = 0.6,
    test_per_class: int = 40,
    seeds: int = 6,
    gans: int = 3,
    arms: Sequence[str] = ARMS,
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
            gan_arm = arm in ARMS[2:]
            treated = arm == "real+classical+filtered"
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


def runs_of(predictions: pd.DataFrame, classes: int) -> pd.DataFrame:
    """The table of runs that belongs to predictions."""
    rows = []
    for (arm, seed), run in predictions.groupby(["arm", "seed"]):
        labels = run["label"].to_numpy()
        counts = Counter(labels, run["predicted"].to_numpy()[None], classes)(
            np.ones((1, len(labels)))
        )
        recalls = recall(counts)[0, 0]
        rows.append(
            {"arm": arm, "seed": seed, "gan_seed": run["gan_seed"].iloc[0]}
            | {name: metric(counts)[0, 0] for name, metric in METRICS.items()}
            | {"log_loss": -np.log(run["p_label"]).mean()}
            | {f"recall_{label}": value for label, value in enumerate(recalls)}
        )
    return pd.DataFrame(rows).astype({"gan_seed": "Int64"})


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
    merged.take(merged.manifest["origin"].eq("synthetic").to_numpy()).save(inputs["control"])
    predictions.to_parquet(inputs["predictions"], index=False)
    runs_of(predictions, len(class_names)).to_parquet(inputs["runs"], index=False)
    counts = {
        split: dict(zip(class_names, train, strict=True))
        for split in ("train", "val", "test", "cut")
    }
    made = [5 * n * gans for n in train]
    _write(
        inputs["ingest"],
        {
            "dataset": "digits",
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
                    "density": 1.04, "coverage": 0.73, "conditioning": 0.95, "diversity": 0.81,
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
    accepted = sum(count for _, reason, count in reasons if reason == "accepted")
    _write(
        inputs["filter_metrics"],
        {
            "pool": sum(count for *_, count in reasons),
            "accepted": accepted,
            "acceptance_rate": 0.7,
            "copies": sum(count for _, reason, count in reasons if reason == "copy"),
            "brier": 0.171,
            "per_class": {},
        },
    )
    return (
        {"dataset": "data/embedded/digits.yaml"}
        | inputs
        | {
            "lift": folder / "out" / "lift.json",
            "page": folder / "out" / "lift.html",
            "pictures": folder / "out" / "pictures",
            "arms": folder / "out" / "lift_by_arm.csv",
        }
        | {"params": report_params(), "seed": 0}
    )


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")

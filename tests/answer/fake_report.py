"""A whole result, made up: what ``lift.json`` and its evidence hold."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from tasks.answer.funnel import funnel
from tasks.answer.mistakes import Confusion, Flip, Mistakes
from tasks.answer.page import Evidence
from tasks.contracts.arms import (
    ARMS,
    FILTERED,
    NON_SYNTHETIC,
    PSEUDO_LABELLED,
    REAL,
    REPEATED,
    SYNTHETIC,
    SYNTHETIC_ONLY,
    UNFILTERED,
    fraction_arm,
)
from tasks.contracts.image_set import ImageSet
from tasks.data.pictures import png_base64
from tasks.lift.result import LiftResult
from tests.lift.fake_inputs import fake_merged
from tests.lift.fake_runs import settling_of

DIGITS = tuple(str(digit) for digit in range(10))
FRACTIONS = (0.25, 0.5, 2.0)
REASONS = (
    "accepted", "copy", "near duplicate", "not authentic", "off manifold", "other label",
    "low confidence", "low margin", "low p_real", "over quota",
)  # fmt: skip
_LEVELS = {
    REAL: 0.9617, REPEATED: 0.9655, PSEUDO_LABELLED: 0.9634,
    UNFILTERED: 0.9663, FILTERED: 0.9735, SYNTHETIC_ONLY: 0.9085,
    fraction_arm(0.25): 0.853, fraction_arm(0.5): 0.925, fraction_arm(2.0): 0.98,
}  # fmt: skip
USUAL = tuple(arm for arm in _LEVELS if arm in ARMS)  # without those of another domain
STEPS = 800
SETTLING = settling_of(
    (("plain", 0.938), ("classical", 0.951), ("trivial", 0.949), ("mixup", 0.961)),
    steps=(200, 400, 800, 1600),
    chosen=STEPS,
)
_SETTLE = {"gans": 6, "seeds": None, "test_images": 2400}


def fake_lift(
    class_names: Sequence[str] = DIGITS,
    *,
    arms: Sequence[str] = tuple(_LEVELS),
    metric: str = "balanced_accuracy",
    metric_name: str = "balanced accuracy",
    mean: float = 0.8,
    half: float = 0.7,
    gans: int = 4,
    seeds: int = 8,
    train: Sequence[int] | None = None,
) -> LiftResult:
    """A result; the interval is the mean ± ``half``."""
    rng = np.random.default_rng(0)
    train = list(train) if train else [20] * len(class_names)
    log_loss = metric == "log_loss"
    word = "helps" if mean - half > 0 else "hurts" if mean + half < 0 else "inconclusive"
    compared = [arm for arm in arms if arm in ARMS]
    baseline = REPEATED if REPEATED in arms else REAL

    def spread(center: float, wide: float = 0.004) -> dict[str, Any]:
        values = rng.normal(center, wide, seeds)
        return {
            "mean": float(values.mean()), "std": float(values.std(ddof=1)),
            "values": values.tolist(), "ci_low": float(values.mean() - 3 * wide),
            "ci_high": float(values.mean() + 3 * wide),
        }  # fmt: skip

    results: dict[str, Any] = {}
    for arm in arms:
        names = {"balanced_accuracy", "accuracy", "macro_f1", metric} - {"log_loss"}
        level = _LEVELS.get(arm, 0.9625)
        results[arm] = {name: spread(level) for name in sorted(names)}
        results[arm] |= {
            "log_loss": spread(3.5 * (1 - level), 0.008),
            "ece": {
                key: value
                for key, value in spread(0.4 * (1 - level), 0.003).items()
                if not key.startswith("ci_")
            },
            "val": {"mean": level + 0.002},
            "shown": _shown(arm),
        }
    lifts = {
        arm: _points(100 * (results[arm]["val"]["mean"] - results[baseline]["val"]["mean"]), 1.0)
        for arm in compared
        if arm != baseline
    } | {FILTERED: _points(mean, half)}
    curve = [arm for arm in arms if arm not in ARMS] + [REAL]
    counts = {REAL: sum(train)} | {fraction_arm(s): int(s * sum(train)) for s in FRACTIONS}
    content = {
        "schema": "ganlift/lift/5",
        "verdict": word,
        "answer": f"{word}: adding filtered GAN images moved {metric_name} by {mean:+.1f}.",
        "advice": "Keep the simpler training until there is more evidence.",
        "primary_metric": metric,
        "metric_name": metric_name,
        "unit": "hundredths of a nat" if log_loss else "percentage points",
        "baseline": baseline,
        "treatment": FILTERED,
        "baseline_choice": {
            "rule": "strongest",
            "val": {arm: results[arm]["val"]["mean"] for arm in compared if arm in NON_SYNTHETIC},
        },
        "lift_pp": _points(mean, half) | {"level": 0.95, "p_value": 0.041, "df": 5.3, "se": 0.31},
        "gan_luck": gans != 1,
        "noise_pp": {"runs": 0.25, "images": 0.21},
        "mde_pp": 1.05,
        "power": 0.8,
        "settle": _SETTLE if word == "inconclusive" else None,
        "rule": {"smallest_lift_pp": 0.5, "resamples": 4000},
        "filter_lift_pp": _points(0.72, 0.6) if UNFILTERED in arms else None,
        "arm_lift_pp": lifts,
        "floors": {
            name: {"chance": 2.3, "majority": 2.3}
            if name == "log_loss"
            else {"chance": 0.1, "majority": None if name.startswith("recall:") else 0.12}
            for name in sorted({"balanced_accuracy", "accuracy", "macro_f1", "log_loss", metric})
        },
        "majority_class": class_names[0],
        "rarest": {"classes": list(class_names[:2]), "lift_pp": _points(2.0, 1.5)}
        if max(train) >= 2 * min(train)
        else None,
        "arms": {arm: results[arm] for arm in compared},
        "per_class": {
            name: {
                "baseline_recall": 0.95,
                "treatment_recall": 0.96,
                "lift_pp": _points(float(rng.normal(1, 2)), 2.2),
                "train_images": count,
                "test_images": 80,
                "rare": count < 0.5 * np.mean(train),
            }
            for name, count in zip(class_names, train, strict=True)
        },
        "gans": {
            str(gan): {
                "collapsed": [], "rollbacks": 0, "stopped_early": False, "pseudo_labelled": 0,
                "kimg": 88.0, "conditioning": 0.95, "conditioning_real": 0.97, "coverage": 0.73,
            }
            for gan in range(gans)
        },
        "counts": {
            "classes": len(class_names), "train": sum(train),
            "synthetic": {str(gan): sum(train) for gan in range(gans)},
            "control": sum(train) * gans, "test": 80 * len(class_names), "seeds": seeds,
            "gan_seeds": gans,
        },
        "seeds": {"classifier": list(range(seeds)), "gan": list(range(gans))},
        "digests": {"merged": _digest("merged"), "test": _digest("test")},
        "classifier": {
            "name": "small_cnn", "recipe": "mixup", "steps": STEPS,
            "learning_rate": 0.002, "weight_decay": 0.01, "settling": SETTLING,
            "settled_by": "plateau", "gain": 0.001, "gain_standard_error": 0.003,
            "kept": {"arm": FILTERED, "seed": 3, "gan_seed": 3, "sha256": _digest("weights"),
                     "test": {"accuracy": 0.97}, "val": {"accuracy": 0.98}},
        },
        "comparisons": [
            {
                "arm": FILTERED, "over": over, "p_holm": min(1.0, 0.02 * place),
                "lift_pp": _points(1.5 - 0.3 * place, 0.9) | {"p_value": 0.0004 + 0.01 * place},
            }
            for place, over in enumerate(
                arm for arm in (UNFILTERED, *NON_SYNTHETIC) if arm in arms and arm != baseline
            )
        ],
        "mcnemar": [
            {"seed": seed, "gan_seed": seed % gans, "treatment_only": 14 + seed,
             "baseline_only": 9, "p_value": 0.4 - 0.04 * seed}
            for seed in range(seeds)
        ],
        "worth": _worth(results, curve, counts, metric, mean, half) if len(curve) > 1 else None,
        "more_real": {"real_images": max(counts.values()), "lift_pp": _points(1.2, 0.7)}
        if len(curve) > 1
        else None,
    }  # fmt: skip
    return LiftResult.model_validate(content)


def altered(lift: LiftResult, **changes: Any) -> LiftResult:
    """Return it with other values; those of a part that are not named stay."""
    return LiftResult.model_validate(_merged(lift.model_dump(mode="json"), changes))


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    both = {name: (old.get(name), value) for name, value in new.items()}
    return old | {
        name: _merged(was, value) if isinstance(was, dict) and isinstance(value, dict) else value
        for name, (was, value) in both.items()
    }


def _worth(
    results: dict[str, Any],
    curve: Sequence[str],
    counts: dict[str, int],
    metric: str,
    mean: float,
    half: float,
) -> dict[str, Any]:
    have, factor = counts[REAL], -100.0 if metric == "log_loss" else 100.0
    base = results[REAL][metric]["mean"]
    ends = sorted(base + end / factor for end in (mean - half, mean + half))
    return {
        "real_images": round(1.7 * have),
        "low": round(1.2 * have),
        "high": None,
        "beyond": None,
        "have": have,
        "reached": {"mean": base + mean / factor, "ci_low": ends[0], "ci_high": ends[1]},
        "curve": [
            {"arm": arm, "real_images": counts[arm]}
            | {key: results[arm][metric][key] for key in ("mean", "ci_low", "ci_high")}
            | {"rising": results[arm][metric]["mean"]}
            for arm in curve
        ],
    }


def fake_pool(
    class_names: Sequence[str], *, gans: int = 4, size: int = 8, per_class: int = 160
) -> tuple[ImageSet, pd.DataFrame]:
    """Every GAN image, and its scores with the filter's decision."""
    rng = np.random.default_rng(2)
    everything = fake_merged(
        class_names, [per_class // gans] * len(class_names), gans=gans, size=size, seed=5
    )
    pool = everything.take(everything.manifest["origin"].eq("synthetic").to_numpy())
    shares = np.array([0.55, 0.0, 0.04, 0.02, 0.05, 0.06, 0.12, 0.02, 0.1, 0.04])
    return pool, pool.manifest[["image_id", "label", "class_name", "gan_seed"]].assign(
        p_real=rng.uniform(0, 1, len(pool)).round(3),
        confidence=rng.uniform(0.2, 1, len(pool)).round(3),
        margin=rng.uniform(0, 1, len(pool)).round(3),
        realism=rng.uniform(0.5, 2, len(pool)).round(3),
        reason=rng.choice(REASONS, len(pool), p=shares / shares.sum()),
    )


def rules_of(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """The rules of ``filter.json`` that belong to scores."""
    left, rules = len(scores), []
    measured = {"coverage": 0.94, "recall": 0.92, "precision": 0.81}
    rules.append({"rule": "pool", "rejected": 0, "left": left} | measured)
    for place, reason in enumerate(REASONS[1:]):
        rejected = int((scores["reason"] == reason).sum())
        left -= rejected
        after = {"coverage": 0.94 - 0.004 * place, "recall": 0.92, "precision": 0.81 + 0.01 * place}
        rules.append({"rule": reason, "rejected": rejected, "left": left} | after)
    return [*rules, rules[-1] | {"rule": "accepted", "rejected": 0}]


def fake_reliability(gans: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    said = np.linspace(0.2, 0.85, 10)
    return pd.concat(
        pd.DataFrame(
            {
                "gan_seed": gan,
                "p_real": said + rng.normal(0, 0.01, 10),
                "share_real": (said + rng.normal(0, 0.07, 10)).clip(0, 1),
                "images": 58,
            }
        )
        for gan in range(gans)
    )


def fake_evidence(class_names: Sequence[str] = DIGITS, *, gans: int = 4, size: int = 8) -> Evidence:
    """What stands behind `fake_lift`."""
    pool, scores = fake_pool(class_names, gans=gans, size=size)
    rules = rules_of(scores)
    expectations = [{"passed": True}] * 12
    arms = (*ARMS, *(fraction_arm(share) for share in FRACTIONS))
    return Evidence(
        ingest={
            "dataset": "digits", "rejected": 3, "duplicates": 1, "fold": None, "folds": None,
            "given_splits": [], "shares": {"train": 0.11, "val": 0.15, "test": 0.45, "cut": 0.29},
        },
        validation={"expectations": expectations},
        gans={
            str(gan): {
                "checkpoint": _digest(f"gan {gan}"), "kimg": 88.0, "kept_kimg": 66.0,
                "evaluation": {
                    "kid": 0.0123, "precision": 0.91, "recall": 0.62, "density": 1.04,
                    "coverage": 0.73, "conditioning": 0.95, "conditioning_real": 0.97,
                    "diversity": 0.81, "copy_rate": 0.031, "copy_rate_real": 0.012,
                },
                "by_class": {name: {"coverage": 0.7, "conditioning": 0.9} for name in class_names},
                "collapsed": [], "rollbacks": 0, "pseudo_labelled": 0, "stopped_early": False,
            }
            for gan in range(gans)
        },
        filter={
            "pool": len(scores), "accepted": rules[-1]["left"], "brier": 0.213,
            "calibration": "logistic", "labels": "hard", "temperature": 1.31, "tuned": None,
            "rules": rules,
            "authentic": {"pool": 0.71, "accepted": 0.74, "real": 0.69},
        },
        funnel=funnel(rules, pool, scores, 0),
        merge={
            "per_class": {name: {"short": 0} for name in class_names},
            "expectations": expectations,
        },
        retrain={
            "weights": None,
            "schedule": "mixed",
            "arms": {
                arm: {"real": 200, "added": 200 if arm in SYNTHETIC else 0, "added_per_step": 64}
                for arm in arms
            },
            "left_out": {fraction_arm(4.0): "only 71 of 80 images in class 5"},
        },
        mistakes=fake_mistakes(class_names),
        exposure={
            arm: {f"{part}_seen": number for part, number in _shown(arm).items()} for arm in arms
        },
        versions={"torch": "2.15.0", "numpy": "2.3.1"},
        processor="x86_64, GenuineIntel, AVX512",
    )  # fmt: skip


def fake_mistakes(class_names: Sequence[str]) -> Mistakes:
    """A confusion, and one image that flipped either way."""
    first, last = class_names[0], class_names[-1]
    pixel = png_base64(Image.new("L", (1, 1)))
    return Mistakes(
        confusions=(Confusion(first, last, 0.125, 0.0625),),
        mended=(Flip(pixel, first, last, first),),
        broken=(Flip(pixel, last, last, first),),
        mended_count=41,
        broken_count=17,
    )


def count_reasons(scores: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """Content of ``filter_reasons.csv``."""
    index = pd.MultiIndex.from_product([class_names, REASONS], names=["class_name", "reason"])
    counts = scores.groupby(["class_name", "reason"]).size().reindex(index, fill_value=0)
    return counts.rename("count").reset_index()


def _shown(arm: str) -> dict[str, int]:
    added = 64 * STEPS if arm in (REPEATED, PSEUDO_LABELLED, *SYNTHETIC) else 0
    return {"real": 0 if arm == SYNTHETIC_ONLY else 64 * STEPS, "added": added}


def _points(mean: float, half: float) -> dict[str, float]:
    return {"mean": mean, "ci_low": mean - half, "ci_high": mean + half}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""The folds of a cross-validation put together: every image is tested on once.

In each fold classifiers and GANs are trained without the images that it tests on, so the
predictions of all folds are those of one test set that holds every image. A run is one classifier
seed over all folds; runs, images and their intervals are then as in a single split
(`tasks.lift.estimates`). As there, the training images are taken as they are: the interval does not
cover the draw of others (Bengio & Grandvalet 2004, "No unbiased estimator of the variance of k-fold
cross-validation").

The arm to beat is chosen by its mean on every fold's real/val, which holds images that other folds
test on. That can only favour the baseline. Recipe, steps, filter and GANs of a fold never meet the
images that it tests on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tasks.contracts.errors import UserError
from tasks.contracts.params.report import ReportParams
from tasks.lift.fairness import check_fair
from tasks.lift.metrics import METRICS, Counter
from tasks.lift.parts import Estimate, FoldLift
from tasks.lift.predictions import read_predictions
from tasks.lift.result import LiftResult
from tasks.lift.summary import TrainedOn, judged

_WAYS = ("most_steps", "declared", "plateau")  # to settle: what asks for the most care first


@dataclass(frozen=True)
class Fold:
    """What the line of one fold wrote.

    Attributes:
        number: from 1.
        runs: a row per arm and seed.
        predictions: a row per arm, seed and test image.
        retrained: content of ``retrain.json``.
        result: its own ``lift.json``.
    """

    number: int
    runs: pd.DataFrame
    predictions: pd.DataFrame
    retrained: Mapping[str, Any]
    result: LiftResult


def over_folds(
    folds: Sequence[Fold], class_names: Sequence[str], params: ReportParams, seed: int
) -> LiftResult:
    """Return the result over all folds, still without the sentences of its answer.

    Args:
        folds: at least two; arms that not every fold has are left out.
        class_names: K names in the order of their labels.
        params: the rule.
        seed: of all resampling.

    Raises:
        UserError: as `tasks.lift.summary.lift_result`, or two folds test on one image.
    """
    for fold in folds:
        check_fair(fold.runs)
    predictions = predictions_of(folds)
    if predictions.duplicated(["arm", "seed", "image_id"]).any():
        raise UserError(
            "the folds", "two of them test on one image", "Run `ganlift run`, which makes all anew"
        )
    result = judged(
        runs_over(folds, predictions, class_names),
        predictions,
        class_names,
        _retrained(folds, sorted(set(predictions["arm"]))),
        _trained_on(folds, class_names),
        params,
        seed,
    )
    return result.model_copy(update={"folds": tuple(_told(fold) for fold in folds)})


def predictions_of(folds: Sequence[Fold]) -> pd.DataFrame:
    """Return the predictions of all folds, of the arms that every fold has."""
    arms = set.intersection(*(set(fold.runs["arm"]) for fold in folds))
    predictions = pd.concat([fold.predictions for fold in folds], ignore_index=True)
    return predictions[predictions["arm"].isin(arms)]


def runs_over(
    folds: Sequence[Fold], predictions: pd.DataFrame, class_names: Sequence[str]
) -> pd.DataFrame:
    """Return a row per arm and seed: metrics on the test images of all folds, the rest as means.

    Args:
        folds: their runs.
        predictions: of all folds, with the arms that count.
        class_names: K names.
    """
    every = pd.concat([fold.runs for fold in folds], ignore_index=True)
    every = every[every["arm"].isin(set(predictions["arm"]))]
    keys = ["arm", "seed"]
    numbers = [name for name in every.select_dtypes("number") if name not in (*keys, "gan_seed")]
    means = every.groupby(keys, sort=False)[numbers].mean().reset_index()
    first = every.groupby(keys, sort=False)["gan_seed"].first().reset_index()
    runs = means.merge(first, on=keys).assign(recipe=_listed(sorted(set(every["recipe"]))))
    said = read_predictions(predictions, class_names)
    weights = np.ones((1, len(said.labels)))
    for arm, of in said.arms.items():
        counts = Counter(said.labels, of.predicted, of.p_label, len(class_names))(weights)
        rows = runs.index[runs["arm"] == arm][np.argsort(runs.loc[runs["arm"] == arm, "seed"])]
        for metric in METRICS.values():
            runs.loc[rows, metric.column] = metric.of(counts)[0]
    return runs


def _retrained(folds: Sequence[Fold], arms: Sequence[str]) -> dict[str, Any]:
    """Return what ``retrain.json`` would say of all folds; no classifier is kept over them."""
    each = [fold.retrained for fold in folds]
    ways = {str(of["settled_by"]) for of in each}
    return {
        "classifier": each[0]["classifier"],
        "recipe": _listed(sorted({str(of["recipe"]) for of in each})),
        "steps": max(int(of["steps"]) for of in each),
        "learning_rate": float(np.mean([of["learning_rate"] for of in each])),
        "weight_decay": float(np.mean([of["weight_decay"] for of in each])),
        "settling": [],
        "settled_by": min(ways, key=_WAYS.index),
        "gain": None,
        "gain_standard_error": None,
        "pretraining": _pretraining([of.get("pretraining") for of in each]),
        "kept": None,
        "arms": {
            arm: {"real": round(np.mean([of["arms"][arm]["real"] for of in each]))} for arm in arms
        },
        "test": {"digest": _digest(str(of["test"]["digest"]) for of in each)},
    }


def _pretraining(each: Sequence[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """Return the means over folds, where they agree on what arms start from."""
    told = [of for of in each if of is not None]
    if len(told) < len(each) or len({of["used"] for of in told}) > 1:
        return None
    means = {key: float(np.mean([of[key] for of in told])) for key in told[0]}
    return means | {key: round(means[key]) for key in ("images", "classes", "steps", "used")}


def _trained_on(folds: Sequence[Fold], class_names: Sequence[str]) -> TrainedOn:
    results = [fold.result for fold in folds]
    real = [[of.per_class[name].train_images for name in class_names] for of in results]
    gans = sorted(set.intersection(*(set(of.counts.synthetic) for of in results)))
    return TrainedOn(
        real=np.rint(np.mean(real, axis=0)).astype(np.int64),
        synthetic={
            gan: round(float(np.mean([of.counts.synthetic[gan] for of in results]))) for gan in gans
        },
        control=round(float(np.mean([of.counts.control for of in results]))),
        digest=_digest(of.digests.merged for of in results),
        gans={
            f"{seed} of fold {fold.number}": flags
            for fold in folds
            for seed, flags in fold.result.gans.items()
        },
    )


def _told(fold: Fold) -> FoldLift:
    found = fold.result
    return FoldLift(
        fold=fold.number,
        verdict=found.verdict,
        lift_pp=Estimate(
            mean=found.lift_pp.mean, ci_low=found.lift_pp.ci_low, ci_high=found.lift_pp.ci_high
        ),
        baseline=found.baseline,
        recipe=found.classifier.recipe,
        steps=found.classifier.steps,
        train_images=found.counts.train,
        test_images=found.counts.test,
    )


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _listed(names: Sequence[str]) -> str:
    return " or ".join(names)

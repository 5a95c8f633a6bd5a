"""Stage 7, retrain: settle the recipe, then every arm and seed by it, judged on real/test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.classifier.arms import Arm, arm_table, missing_images
from tasks.classifier.augmentation import ground_of
from tasks.classifier.batch_norm import has_batch_norm
from tasks.classifier.examples import Examples
from tasks.classifier.pretraining import pretrained
from tasks.classifier.runs import ClassifierRun, Conditions, KeptRuns, RunResult, runs_of
from tasks.classifier.saved import (
    ClassifierConfig,
    State,
    load_weights,
    save_classifier,
    weights_digest,
)
from tasks.classifier.scores import Predictions, scores_of
from tasks.classifier.settling import SEEDS, USUAL, Settled, Settling
from tasks.classifier.training import DivergedError, Schedule, untrained
from tasks.classifier.training_data import TrainingData, refuse_absent_classes, refuse_leaks
from tasks.contracts.arms import ADAPTED, FILTERED
from tasks.contracts.image_set import ImageSet
from tasks.contracts.kept import Kept
from tasks.contracts.outputs import Output
from tasks.contracts.params.retrain import RetrainParams
from tasks.contracts.progress import Report, part, progress
from tasks.contracts.stage import stage_main

SCHEMA = "ganlift/retrain/2"
Scores = dict[str, float]
_Said = tuple[ClassifierRun, Predictions]
_KEPT = Path(".ganlift/kept/retrain")  # outside the outputs, for when more seeds are asked for
_PRETRAINED = _KEPT.with_name("pretrained")  # apart, where finished runs do not throw them out
_PRETRAINING = 0.2  # of settling with related classes
_DIGITS = 6
_LARGER = 1.5  # steps with added images cost up to twice as much; in the mean of all arms
_KEPT_BYTES = 4 * 10**9
_ROWS = 2**17  # of the table of predictions that are made at a time


@dataclass(frozen=True)
class _Best:
    """The best classifier of an arm so far."""

    run: ClassifierRun
    state: State
    test: Scores
    val: Scores

    @property
    def rank(self) -> tuple[float, float, int]:
        """Lower is better; real/val alone decides."""
        return -self.val["balanced_accuracy"], self.val["log_loss"], self.run.seed


def run(
    *,
    merged: Path,
    control: Path,
    distilled: Path,
    val: Path,
    spare: Path,
    unlabelled: Path,
    pseudo: Path,
    other_domain: Path,
    related: Path,
    test: Path,
    runs: Output,
    predictions: Output,
    classifier: Output,
    classifiers: Output,
    summary: Output,
    params: RetrainParams,
    seed: int,
) -> None:
    """Train every arm with every seed in worker processes; keep scores and test predictions.

    The recipe, its steps and its rates are settled on real/val before, without additions, and where
    there are images of related classes, whether every arm starts from training on those. Arms
    whose images are not there are left out, and told. Of each arm that may turn out the best, the
    classifier that is best on real/val is kept, that of the arm with filtered images apart. Runs
    that were finished before, under the same conditions, are taken from ``.ganlift`` and not
    trained again.
    """
    judged = {"test": ImageSet.load(test), "val": ImageSet.load(val)}
    sets = (merged, control, distilled, spare, unlabelled, pseudo, other_domain)
    data, others = _training_data(sets, related, judged)
    beside = others if len(others) and params.weights is None else None
    conditions, schedule, normed = _conditions(data, params, seed)
    kept = Kept(_KEPT, _KEPT_BYTES)
    examples = {name: Examples.of(images) for name, images in judged.items()}
    with progress("retrain") as watch:
        settling = _settling_share(params, twice=beside is not None)
        conditions, settled, started = _settled(
            conditions, schedule, examples["val"], beside, params, kept, part(watch, 0.0, settling)
        )
        schedule = settled.schedule
        how = "as declared" if not settled.tried else "settled on real/val"
        print(f"recipe {settled.recipe}, {schedule.steps} steps, {how}")
        arms, left_out = _arms(settled.recipe, data, params, normed=normed)
        rows: list[dict[str, Any]] = []
        said: list[_Said] = []
        best: dict[str, _Best] = {}
        every = runs_of(arms, data, params.seeds, schedule)
        finished = KeptRuns(conditions, examples, kept)
        for one, result in zip(
            every, finished.results(every, part(watch, settling, 1.0)), strict=True
        ):
            if not result.said:
                raise DivergedError(schedule)
            scores = {
                name: scores_of(images.labels, result.said[name], len(data.class_names))
                for name, images in examples.items()
            }
            rows.append(_row(one, result, scores))
            said.append((one, result.said["test"]))
            if result.state is not None:
                found = _Best(one, result.state, scores["test"], scores["val"])
                best[one.name] = min(best.get(one.name, found), found, key=lambda b: b.rank)
    told = pd.DataFrame(rows)
    _save(told, runs)
    _save_predictions(said, judged["test"], predictions)
    content = {
        "schema": SCHEMA,
        "classifier": params.classifier,
        "schedule": params.schedule,
        "batch_norm": params.batch_norm,
        "weights": None if params.weights is None else _told(Path(params.weights)),
        **settled.content(),
        "pretraining": started,
        "arms": _sizes(told),
        "left_out": left_out,
        "test": {"images": len(judged["test"]), "digest": _digest(judged["test"])},
        "kept": _keep(classifier, best.pop(FILTERED), data, params),
    }
    for name, one_best in best.items():
        _keep(classifiers / name, one_best, data, params)
    summary.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    summary.write_text(text, encoding="utf-8")
    print(
        f"{len(rows)} runs: {len(arms)} arms x {len(params.seeds)} seeds; "
        f"{finished.taken} of {len(rows)} runs kept from before"
    )


def _training_data(
    folders: Sequence[Path], related: Path, judged: Mapping[str, ImageSet]
) -> tuple[TrainingData, ImageSet]:
    """Open what is trained on, related classes apart; refuse leaks and what cannot be judged."""
    held_out = {f"real/{name}": images for name, images in judged.items()}
    sets = {str(path): ImageSet.load(path) for path in folders}
    beside = ImageSet.load(related)
    refuse_leaks(sets | {str(related): beside}, held_out)
    data = TrainingData.of(*sets.values())
    refuse_absent_classes(data.class_names, held_out)
    return data, beside


def _conditions(
    data: TrainingData, params: RetrainParams, seed: int
) -> tuple[Conditions, Schedule, bool]:
    """What all runs share, and whether the classifier has batch norm. A wrong name fails here."""
    rate, decay = params.learning_rates[0], params.weight_decays[0]
    schedule = Schedule(
        params.classifier, params.steps, params.batch_size, rate, decay, params.precision
    )
    weights = None if params.weights is None else Path(params.weights).absolute()
    classes, shape = len(data.class_names), data.real.image_shape
    network = untrained(schedule, shape, classes=classes, seed=seed)
    if weights is not None:
        fresh = load_weights(network, weights, params.classifier, classes=classes, shape=shape)
        if fresh:
            print(f"{weights.name} fits but for {', '.join(fresh)}, trained from scratch")
    how = (params.flip, weights, params.schedule, params.batch_norm)
    return Conditions(data, ground_of(data.real), *how, seed), schedule, has_batch_norm(network)


def _settled(
    conditions: Conditions,
    schedule: Schedule,
    val: Examples,
    related: ImageSet | None,
    params: RetrainParams,
    kept: Kept,
    watch: Report,
) -> tuple[Conditions, Settled, dict[str, Any] | None]:
    """Settle how every arm is trained, and what it starts from; return what is told of the latter.

    With related classes all is settled twice, from random weights and from classifiers of those
    classes, and the start whose best is better on real/val is taken.
    """

    def settle(start: Conditions, first: float, last: float) -> tuple[Settling, Settled]:
        watched = part(watch, first, last)
        settling = Settling(start, schedule, val, kept, seeds=params.seeds, watch=watched)
        rates = params.learning_rates, params.weight_decays
        return settling, settling.settle(params.recipe_names, params.lengths, *rates)

    if related is None:
        return conditions, settle(conditions, 0.0, 1.0)[1], None
    longest = replace(schedule, steps=params.lengths[-1])
    seeds = [conditions.own_seed(seed) for seed in params.seeds]
    files = pretrained(
        related,
        len(conditions.data.class_names),
        longest,
        flip=params.flip,
        seeds=seeds,
        kept=Kept(_PRETRAINED, _KEPT_BYTES),
        watch=part(watch, 0.0, _PRETRAINING),
    )
    after = replace(conditions, pretrained=dict(zip(params.seeds, files, strict=True)))
    half = _PRETRAINING + (1.0 - _PRETRAINING) / 2
    both = [
        (start, *settle(start, first, last))
        for start, first, last in ((conditions, _PRETRAINING, half), (after, half, 1.0))
    ]
    scores = [settling.score(settled) for _, settling, settled in both]
    better = scores[1] > scores[0]
    told = {
        "images": len(related),
        "classes": len(related.class_names),
        "steps": longest.steps,
        "from_scratch": round(scores[0], _DIGITS),
        "pretrained": round(scores[1], _DIGITS),
        "used": better,
    }
    print(
        "on real/val {pretrained:.1%} after {classes} related classes, {from_scratch:.1%} from "
        "random weights".format(**told)
    )
    start, _, settled = both[better]
    return start, settled, told


def _settling_share(params: RetrainParams, *, twice: bool) -> float:
    """Return how much of the stage settling usually takes, 0 to 1, by steps trained."""
    recipes, lengths, seeds = params.recipe_names, params.lengths[:USUAL], len(params.seeds)
    tried = 0 if len(recipes) == len(lengths) == 1 else len(recipes) * min(seeds, SEEDS)
    times = 2.0 / (1.0 - _PRETRAINING) if twice else 1.0
    ahead, arms = times * tried * sum(lengths), len(arm_table(recipes[0], params.fractions))
    chosen = lengths[min(1, len(lengths) - 1)]  # the last doubling gains nothing
    return ahead / (ahead + _LARGER * arms * seeds * chosen)


def _arms(
    recipe: str, data: TrainingData, params: RetrainParams, *, normed: bool
) -> tuple[dict[str, Arm], dict[str, str]]:
    """Return the arms that there are images for, and why the others are left out."""
    arms = arm_table(recipe, params.fractions)
    why = {name: missing_images(arm, data) for name, arm in arms.items()}
    if not normed and why[ADAPTED] is None:
        why[ADAPTED] = f"the classifier {params.classifier} has no batch norm"
    left_out = {name: reason for name, reason in why.items() if reason is not None}
    for name, reason in left_out.items():
        print(f"{name} is left out: {reason}")
    return {name: arm for name, arm in arms.items() if name not in left_out}, left_out


def _told(weights: Path) -> str:
    return f"{weights.name}, sha256 {weights_digest(weights)}"


def _row(run: ClassifierRun, result: RunResult, scores: Mapping[str, Scores]) -> dict[str, Any]:
    val = {f"val_{name}": one for name, one in scores["val"].items() if name != "ece"}
    return {
        "arm": run.name,
        "seed": run.seed,
        "gan_seed": run.gan_seed,
        "recipe": run.arm.recipe,
        **result.counts,
        **scores["test"],
        **val,
    }


def _save_predictions(said: Sequence[_Said], test: ImageSet, path: Path) -> None:
    """Write a row a run and test image, as many at a time as memory should hold."""
    path.parent.mkdir(parents=True, exist_ok=True)
    several = max(1, _ROWS // len(test))
    tables = (
        pa.Table.from_pandas(
            pd.concat([_predictions(*one, test) for one in said[first : first + several]]),
            preserve_index=False,
        )
        for first in range(0, len(said), several)
    )
    table = next(tables)
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table)
        for table in tables:
            writer.write_table(table)


def _predictions(run: ClassifierRun, said: Predictions, test: ImageSet) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "arm": run.name,
            "seed": run.seed,
            "gan_seed": run.gan_seed,
            "image_id": test.manifest["image_id"],
            "group": test.manifest["group"],
            "label": test.labels,
            "predicted": said.predicted.astype(np.int64),
            "p_label": said.p_label,
            "confidence": said.confidence,
        }
    )
    return frame.astype({"gan_seed": "Int64"})


def _sizes(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Images that each arm trains on and is shown a step, on average over its runs."""
    shown = table.assign(added_per_step=table["added_seen"] / table["steps"])
    means = shown.groupby("arm", sort=False)[["real", "added", "added_per_step"]].mean()
    rounded = means.round().astype(int).to_dict(orient="index")
    return {str(arm): {str(key): n for key, n in of.items()} for arm, of in rounded.items()}


def _keep(folder: Path, best: _Best, data: TrainingData, params: RetrainParams) -> dict[str, Any]:
    size, _, channels = data.real.image_shape
    run = best.run
    config = ClassifierConfig(
        params.classifier, channels, size, data.class_names, run.name, run.seed, run.gan_seed
    )
    digest = save_classifier(folder, best.state, config)
    return {
        "arm": run.name,
        "seed": run.seed,
        "gan_seed": run.gan_seed,
        "sha256": digest,
        "test": best.test,
        "val": best.val,
    }


def _digest(test: ImageSet) -> str:
    ids = sorted(test.manifest["image_id"])
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def _save(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.astype({"gan_seed": "Int64"}).to_parquet(path, index=False)


if __name__ == "__main__":
    stage_main(run)

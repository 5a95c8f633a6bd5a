"""Runs of the comparison, in worker processes: an arm and a seed each. Finished ones are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from torch import Tensor

from tasks.classifier.arms import FROM_GAN, Arm, TrainingSet, gan_seed_of, training_set
from tasks.classifier.examples import Examples
from tasks.classifier.exposure import train_arm
from tasks.classifier.recipes import RECIPES
from tasks.classifier.saved import WEIGHTS, State, state_of, weights_digest
from tasks.classifier.scores import Predictions
from tasks.classifier.training import DivergedError, Schedule, probabilities
from tasks.classifier.training_data import TrainingData
from tasks.contracts.arms import COMPARED
from tasks.contracts.kept import Kept, code_of
from tasks.contracts.machine import processor, reduced_by
from tasks.contracts.params.retrain import BatchNormName, EntryName
from tasks.contracts.workers import spread

_LIBRARIES = ("numpy", "torch", "torchvision", "timm")  # that decide what a training ends with
_COUNTS, _SAID = "counts.json", "{}.npz"
Watch = Callable[[float, str], None]


@dataclass(frozen=True)
class Conditions:
    """What all runs share.

    Attributes:
        data: the images to train on.
        ground: colour ``[C, 1, 1]`` in 0..1 that recipes fill with what a shift uncovers.
        flip: recipes may mirror images left to right.
        weights: a file to start from; None starts from scratch.
        pretrained: files to start from, by seed of the classifier; None where there are none.
        entry: when added images are shown, a key of `ENTRIES`.
        batch_norm: whether real and added images share its statistics in training.
        seed: the root of every draw, beside the classifier's.
    """

    data: TrainingData
    ground: Tensor
    flip: bool
    weights: Path | None
    entry: EntryName
    batch_norm: BatchNormName
    seed: int
    pretrained: Mapping[int, Path] | None = None

    def own_seed(self, seed: int) -> int:
        """Return what a classifier's seed draws by."""
        return self.seed * 1_000_003 + seed

    def first_weights(self, seed: int) -> Path | None:
        """Return the file that a classifier's seed starts from."""
        return self.weights if self.pretrained is None else self.pretrained[seed]


@dataclass(frozen=True)
class ClassifierRun:
    """One run: what sets it apart.

    Attributes:
        name: of its arm.
        arm: recipe and addition.
        seed: of the classifier.
        turn: the GAN whose turn it is with this seed, in every arm.
        gan_seed: that GAN where the run sees its images, else None.
        schedule: how it is trained.
    """

    name: str
    arm: Arm
    seed: int
    turn: int
    gan_seed: int | None
    schedule: Schedule


@dataclass(frozen=True)
class RunResult:
    """What came of a run.

    Attributes:
        counts: optimiser ``steps`` taken; ``real_seen`` and ``added_seen``, images shown, repeats
            counted; ``real`` and ``added``, places in the two parts of its training set.
        said: of each set that it was judged on, by name; none where the training diverged.
        state: its weights, of the arms `COMPARED` alone.
    """

    counts: Mapping[str, int]
    said: Mapping[str, Predictions]
    state: State | None

    def save(self, folder: Path) -> None:
        """Write it into a folder that is there."""
        (folder / _COUNTS).write_text(json.dumps(dict(self.counts)), encoding="utf-8")
        for name, said in self.said.items():
            np.savez(folder / _SAID.format(name), **asdict(said))
        if self.state is not None:
            save_file(self.state, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> RunResult:
        """Read what `save` has written."""
        counts = json.loads((folder / _COUNTS).read_text(encoding="utf-8"))
        said = {}
        for path in folder.glob(_SAID.format("*")):
            with np.load(path, allow_pickle=False) as arrays:
                said[path.stem] = Predictions(**arrays)
        weights = folder / WEIGHTS
        return cls(counts, said, load_file(weights) if weights.is_file() else None)


def runs_of(
    arms: Mapping[str, Arm], data: TrainingData, seeds: Sequence[int], schedule: Schedule
) -> list[ClassifierRun]:
    """Return every arm with every seed, seeds nested in GANs."""
    gans = sorted(data.filtered)
    turns = [(seed, gan_seed_of(place, gans)) for place, seed in enumerate(seeds)]
    return [
        ClassifierRun(name, arm, seed, turn, turn if arm.addition in FROM_GAN else None, schedule)
        for name, arm in arms.items()
        for seed, turn in turns
    ]


def machinery() -> dict[str, object]:
    """Return what decides every training of the stage beside data and settings."""
    return {
        "code": hashlib.sha256(code_of("retrain")).hexdigest(),
        "libraries": {name: version(name) for name in _LIBRARIES},
        "processor": processor(),
    }


class KeptRuns:
    """Runs under the same conditions, judged on the same sets; a finished one is kept.

    A run is known by a hash of all that decides it: the images of its own GAN, not how many GANs
    there are. So more seeds, or more GANs, train the runs that are new and no others.

    Args:
        conditions: what the runs share.
        judged: the sets to judge on, by name.
        kept: where finished runs are.

    Attributes:
        taken: runs that were kept already and not trained again, so far.
    """

    def __init__(self, conditions: Conditions, judged: Mapping[str, Examples], kept: Kept) -> None:
        self._conditions, self._judged, self._kept = conditions, judged, kept
        self.taken = 0
        self._shared = machinery() | {
            "judged": {name: images.identity for name, images in judged.items()},
            "classes": len(conditions.data.class_names),
            "ground": conditions.ground.tolist(),
            "flip": conditions.flip,
            "weights": conditions.weights and weights_digest(conditions.weights),
        }

    def results(self, runs: Sequence[ClassifierRun], watch: Watch) -> Iterator[RunResult]:
        """Yield what came of each run, in order: kept before, or trained on all cores and kept."""
        keys = [self._key(run) for run in runs]
        new = [self._kept.find(key) is None for key in keys]
        self.taken += new.count(False)
        watch(0.0, f"{new.count(False)} of {len(runs)} runs kept")
        every = list(zip(runs, keys, new, strict=True))
        trained = self._trained((run, key) for run, key, is_new in every if is_new)
        for done, (run, key, is_new) in enumerate(every, start=1):
            found = None if is_new else self._kept.find(key)
            if is_new:
                yield next(trained)
            elif found is not None:
                yield RunResult.load(found)
            else:  # thrown out meanwhile, since there is room for fewer than these runs
                yield next(self._trained([(run, key)]))
            watch(done / len(runs), f"{run.name}, seed {run.seed}")

    def _trained(self, runs: Iterable[tuple[ClassifierRun, str]]) -> Iterator[RunResult]:
        shared = (self._conditions, self._judged, self._kept)
        return spread(_train_and_keep, ((*shared, run, key) for run, key in runs))

    def _key(self, run: ClassifierRun) -> str:
        chosen = _chosen(self._conditions, run)
        own = {
            "arm": [run.name, asdict(run.arm)],
            "schedule": asdict(run.schedule),
            "seed": self._conditions.own_seed(run.seed),
            "trained on": [of.identity for of in (chosen.real, chosen.added, chosen.stand_ins)],
        }
        if self._conditions.pretrained is not None:
            own["pretrained"] = weights_digest(self._conditions.pretrained[run.seed])
        if len(chosen.real) and len(chosen.added):  # or it changes nothing: `Exposure`
            own["entry"] = run.arm.entry or self._conditions.entry
            own["batch_norm"] = self._conditions.batch_norm
        if run.arm.adapted:
            own["adapted to"] = _own_domain(self._conditions.data).identity
        if run.schedule.precision != "float32":
            own["reduced by"] = reduced_by()
        return hashlib.sha256(json.dumps(self._shared | own, sort_keys=True).encode()).hexdigest()


def _chosen(conditions: Conditions, run: ClassifierRun) -> TrainingSet:
    seed = conditions.own_seed(run.seed)
    return training_set(run.arm, conditions.data, gan_seed=run.turn, seed=seed)


def _own_domain(data: TrainingData) -> Examples:
    """All real images of the domain asked about that may be trained on, with a label or without."""
    return data.real.joined(data.unlabelled)


def _train_and_keep(
    conditions: Conditions,
    judged: Mapping[str, Examples],
    kept: Kept,
    run: ClassifierRun,
    key: str,
) -> RunResult:
    """Train, judge and keep one classifier, in a worker, which may outlive what asked for it."""
    result = _trained(conditions, judged, run)
    kept.add(key, result.save)
    return result


def _trained(
    conditions: Conditions, judged: Mapping[str, Examples], run: ClassifierRun
) -> RunResult:
    chosen, recipe = _chosen(conditions, run), RECIPES[run.arm.recipe]
    classes = len(conditions.data.class_names)
    sizes = {"real": len(chosen.real), "added": len(chosen.added)}
    try:
        fitted = train_arm(
            chosen,
            run.schedule,
            augment=recipe.augment and recipe.augment(conditions.ground, conditions.flip),
            blend=recipe.blend and recipe.blend(classes),
            weights=conditions.first_weights(run.seed),
            entry=run.arm.entry or conditions.entry,
            batch_norm=conditions.batch_norm,
            adapt_to=_own_domain(conditions.data) if run.arm.adapted else None,
            classes=classes,
            seed=conditions.own_seed(run.seed),
        )
    except DivergedError:
        return RunResult(sizes, {}, None)
    said = {
        name: Predictions.of(probabilities(fitted.network, images), images.labels)
        for name, images in judged.items()
    }
    seen = {name: getattr(fitted, name) for name in ("steps", "real_seen", "added_seen")}
    return RunResult(seen | sizes, said, state_of(fitted.network) if run.name in COMPARED else None)

"""What to do next, as commands to copy, the most valuable first."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.answer import doubts
from tasks.lift.result import LiftResult
from tasks.lift.rule import strongest

_MOST_SEEDS = 32  # a longer list is no advice: the effect is too small for this study
_GANS = 4  # enough of them that their luck can be told from the classifiers'


@dataclass(frozen=True)
class Command:
    """A line for the terminal, and the one reason to run it."""

    line: str
    reason: str


def commands(result: LiftResult) -> list[Command]:
    """Return what would make the answer better, the most valuable first; one a setting."""
    found: dict[str, Command] = {}
    for setting, value, reason in _changes(result):
        line = f"ganlift run --set {shlex.quote(f'{setting}={value}')}"
        found.setdefault(setting, Command(line, reason))
    return list(found.values())


def _changes(result: LiftResult) -> Iterator[tuple[str, str, str]]:
    """Yield setting, value and reason, in the order of what they are worth."""
    found, counts = result.classifier, result.counts
    if found.settled_by == "most_steps":
        yield (
            "retrain.most_steps",
            str(2 * found.steps),
            "The classifier still gained on real/val when training stopped; until it does not, "
            "the lift is that of half-trained classifiers.",
        )
    best = strongest(
        result.baseline_choice.val, result.treatment, less_is_better=result.less_is_better
    )
    if result.baseline_choice.rule == "declared" and best not in (None, result.baseline):
        yield (
            "report.baseline",
            "strongest",
            f"{best}, without GAN images either, is better on real/val than {result.baseline}: "
            "the lift has to be held against that.",
        )
    yield from _better_gans(result)
    if counts.gan_seeds == 1:
        yield (
            "train_gan.seeds",
            _seeds(_GANS),
            "Only one GAN was trained, and another may do better or worse: the interval does not "
            "cover that.",
        )
    if result.settle is not None:
        for setting, needed, what in (
            ("train_gan.seeds", result.settle.gans, "GANs"),
            ("retrain.seeds", result.settle.seeds, "classifier seeds"),
        ):
            if needed is not None and needed <= _MOST_SEEDS:
                yield (
                    setting,
                    _seeds(needed),
                    f"If the mean stays where it is, {needed} {what} alone would settle the "
                    "verdict.",
                )
    train, pseudo = (
        counts.train,
        max((gan.pseudo_labelled for gan in result.gans.values()), default=0),
    )
    learned, added = train + pseudo, max(counts.synthetic.values(), default=0)
    if pseudo and added < learned / 2:
        yield (
            "merge.synthetic_per_real",
            str(learned // train),
            f"A GAN learned from {learned:,} images, and a run adds at most {added:,} of its own.",
        )


def _better_gans(result: LiftResult) -> Iterator[tuple[str, str, str]]:
    """Yield a longer training where GANs are poor, and neither collapsed nor private.

    More steps within the same ε have more noise each.
    """
    poor = doubts.poor_gans(result).values()
    private = result.sharing is not None and result.sharing.guarantee is not None
    if poor and not private and not any(gan.stopped_early for gan in poor):
        yield (
            "train_gan.total_kimg",
            f"{math.ceil(2 * max(gan.kimg for gan in poor))}",
            "The GANs’ images show too often another class or too little variety: a longer "
            "training mends that first.",
        )


def _seeds(count: int) -> str:
    return f"[{', '.join(map(str, range(count)))}]"

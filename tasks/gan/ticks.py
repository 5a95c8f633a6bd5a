"""What a training run tells while it goes on, and the same as plain values for its state."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tasks.contracts.evaluation import GanEvaluation
from tasks.contracts.image_set import Images


@dataclass(frozen=True)
class Tick:
    """What happened since the last tick: means over its steps.

    Attributes:
        kimg: thousands of real images shown so far.
        done: share of the budget that is spent, 0..1.
        curves: loss_g, loss_d, logit_real, logit_fake (means), grad_norm_g, grad_norm_d (L2).
        images_per_second: real images shown per second of wall time.
        grid: a picture uint8 ``[H, W, C]``, one row a class, when due.
        evaluation: of the averaged generator on real/val, when due.
    """

    kimg: float
    done: float
    curves: dict[str, float]
    images_per_second: float
    grid: Images | None
    evaluation: GanEvaluation | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        kept_kimg: when the checkpoint that is kept was reached.
        evaluation: of that checkpoint; None where the run was not evaluated.
        collapsed: classes that have collapsed in the checkpoint that is kept.
        rollbacks: how often the run diverged and was rolled back.
        stopped_early: whether it was given up as hopeless.
        events: one line each, for people.
    """

    kept_kimg: float
    evaluation: GanEvaluation | None
    collapsed: tuple[str, ...]
    rollbacks: int
    stopped_early: bool
    events: tuple[str, ...]


def tick_values(tick: Tick) -> dict[str, Any]:
    """Return a tick without its grid as plain values."""
    return {
        "kimg": tick.kimg,
        "done": tick.done,
        "curves": tick.curves,
        "images_per_second": tick.images_per_second,
        "evaluation": evaluation_values(tick.evaluation),
    }


def tick_from(values: dict[str, Any], grid: Images | None) -> Tick:
    """Make a tick of what `tick_values` returned, and its grid."""
    evaluation = evaluation_from(values["evaluation"])
    return Tick(**(values | {"evaluation": evaluation}), grid=grid)


def evaluation_values(evaluation: GanEvaluation | None) -> dict[str, Any] | None:
    """Return an evaluation as plain values."""
    return None if evaluation is None else asdict(evaluation)


def evaluation_from(values: dict[str, Any] | None) -> GanEvaluation | None:
    """Make an evaluation of what `evaluation_values` returned."""
    return None if values is None else GanEvaluation(**values)

"""The tables of a stage's GANs: curves, evaluations, and how each ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.gan.ticks import Outcome, Tick

_CURVES = ("loss_g", "loss_d", "logit_real", "logit_fake", "grad_norm_g", "grad_norm_d")
_EVALUATIONS = ("gan_seed", "kimg", "class_name", "metric", "value")


class History:
    """What the GANs have told, as the tables and the summary that are kept.

    Attributes:
        last: by GAN seed, the last row of its curves and how it ended.
    """

    def __init__(self) -> None:
        self.last: dict[str, dict[str, Any]] = {}
        self._curves: list[dict[str, float]] = []
        self._evaluations: list[dict[str, Any]] = []

    def tick(self, gan_seed: int, tick: Tick) -> dict[str, float]:
        """Take note of a tick and return its row of the curves."""
        row = {"kimg": round(tick.kimg, 6)} | tick.curves
        self._curves.append({"gan_seed": gan_seed} | row)
        self.last[str(gan_seed)] = dict(row)
        if tick.evaluation is not None:
            where = {"gan_seed": gan_seed, "kimg": row["kimg"]}
            judged = {"": tick.evaluation.overall} | tick.evaluation.by_class
            self._evaluations += [
                where | {"class_name": name, "metric": metric, "value": value}
                for name, numbers in judged.items()
                for metric, value in numbers.items()
            ]
        return row

    def outcome(self, gan_seed: int, outcome: Outcome, pseudo_labelled: int) -> None:
        """Take note of how a run ended, and how many unlabelled images it was given a label for."""
        judged = outcome.evaluation
        self.last[str(gan_seed)] |= {
            "kept_kimg": round(outcome.kept_kimg, 6),
            "evaluation": _rounded(judged.overall) if judged else {},
            "by_class": {n: _rounded(v) for n, v in judged.by_class.items()} if judged else {},
            "pseudo_labelled": pseudo_labelled,
            "collapsed": list(outcome.collapsed),
            "rollbacks": outcome.rollbacks,
            "stopped_early": outcome.stopped_early,
        }

    def save(self, metrics: Path, curves: Path, evaluations: Path) -> None:
        """Write the summary of every GAN, the curves and the evaluations, in a fixed order."""
        for path in (metrics, curves, evaluations):
            path.parent.mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame(self._curves).sort_values(["gan_seed", "kimg"])
        table[["gan_seed", "kimg", *_CURVES]].to_csv(curves, index=False, float_format="%.6g")
        judged = pd.DataFrame(self._evaluations, columns=list(_EVALUATIONS))
        judged = judged.sort_values(["gan_seed", "kimg"], kind="stable")
        judged.to_csv(evaluations, index=False, float_format="%.6g")
        text = json.dumps(self.last, indent=2, sort_keys=True, ensure_ascii=False)
        metrics.write_text(text + "\n", encoding="utf-8")


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in numbers.items()}

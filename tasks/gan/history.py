"""What one GAN leaves in a folder, and the tables of all GANs of a stage that are made of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from tasks.gan.checkpoint import checkpoint_hash, load_config, load_generator
from tasks.gan.pictures import PICTURES, offered
from tasks.gan.state import GanOutcome, Tick

_CURVES = ("loss_g", "loss_d", "logit_real", "logit_fake", "grad_norm_g", "grad_norm_d")
_SPENT = "epsilon"  # a curve of private training
_EVALUATIONS = ("gan_seed", "kimg", "class_name", "metric", "value")
_FILE = "history.json"
_CONTENT = TypeAdapter(tuple[list[tuple[Tick, str | None]], GanOutcome, str])
CHECKPOINT, STATES, TOLD = "checkpoint", "states", "told"  # folders; two only while it trains


@dataclass
class History:
    """A GAN's checkpoint, its pictures and what it has told, in one folder.

    Attributes:
        folder: holds ``checkpoint/``, ``grids/`` and, once it is finished, ``history.json``.
        told: its ticks, and the name of each one's picture where one was drawn.
        outcome: how it ended; None while it trains.
        checkpoint: its sha256, empty while it trains.
    """

    folder: Path
    told: list[tuple[Tick, str | None]] = field(default_factory=list)
    outcome: GanOutcome | None = None
    checkpoint: str = ""

    @property
    def weights(self) -> Path:
        """The checkpoint's folder."""
        return self.folder / CHECKPOINT

    @property
    def grids(self) -> Path:
        """The folder of the pictures."""
        return self.folder / "grids"

    def add(self, tick: Tick) -> None:
        """Take note of a tick and draw its grid."""
        name = None
        if tick.grid is not None:
            name = f"{round(tick.kimg):06d}.png"
            self.grids.mkdir(parents=True, exist_ok=True)
            (self.grids / name).write_bytes(tick.grid)
        self.told.append((replace(tick, grid=None), name))

    def finish(self, outcome: GanOutcome) -> None:
        """Take note of how it ended, draw what its checkpoint offers and write what was told."""
        self.outcome, self.checkpoint = outcome, checkpoint_hash(self.weights)
        generator = load_generator(self.weights)
        names = load_config(self.weights)["class_names"]
        for kind in offered(generator):
            if kind != "classes":  # the grids on the way show them
                (self.grids / f"{kind}.png").write_bytes(PICTURES[kind](generator, names).png())
        content = _CONTENT.dump_python((self.told, outcome, self.checkpoint), mode="json")
        (self.folder / _FILE).write_text(json.dumps(content), encoding="utf-8")

    def copy(self, folder: Path) -> None:
        """Copy a finished GAN into a folder."""
        left_out = shutil.ignore_patterns(STATES, TOLD)
        shutil.copytree(self.folder, folder, ignore=left_out, dirs_exist_ok=True)

    def place(self, checkpoint: Path, grids: Path) -> None:
        """Copy the checkpoint and the pictures to where they belong."""
        shutil.copytree(self.weights, checkpoint)
        shutil.copytree(self.grids, grids)

    @classmethod
    def load(cls, folder: Path) -> History:
        """Read a finished GAN's folder."""
        content = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return cls(folder, *_CONTENT.validate_python(content))

    def row(self, tick: Tick) -> dict[str, float]:
        """Return a tick's row of the curves."""
        return {"kimg": round(tick.kimg, 6)} | tick.curves

    def evaluations(self) -> list[dict[str, Any]]:
        """Return a row for each figure of each evaluation; all classes together have no name."""
        return [
            {"kimg": round(tick.kimg, 6), "class_name": name, "metric": metric, "value": value}
            for tick, _ in self.told
            if tick.evaluation is not None
            for name, numbers in ({"": tick.evaluation.overall} | tick.evaluation.by_class).items()
            for metric, value in numbers.items()
        ]

    def summary(self, gans: int) -> dict[str, Any]:
        """Return the last row of the curves, and how it ended, as one of so many GANs."""
        assert self.outcome is not None
        outcome, judged = self.outcome, self.outcome.evaluation
        guarantee = outcome.guarantee
        if guarantee is not None:
            from tasks.gan.accounting import together  # Opacus takes seconds to import

            guarantee = together(guarantee, gans)
        return self.row(self.told[-1][0]) | {
            "kept_kimg": round(outcome.kept_kimg, 6),
            "evaluation": _rounded(judged.overall) if judged else {},
            "by_class": {n: _rounded(v) for n, v in judged.by_class.items()} if judged else {},
            "collapsed": list(outcome.collapsed),
            "rollbacks": outcome.rollbacks,
            "stopped_early": outcome.stopped_early,
            "checkpoint": self.checkpoint,
            "privacy": None if guarantee is None else asdict(guarantee),
        }


def save_tables(
    histories: Mapping[int, History],
    pseudo_labelled: int,
    metrics: Path,
    curves: Path,
    evaluations: Path,
) -> None:
    """Write the summary of every GAN, the curves and the evaluations, in order of seeds.

    Args:
        histories: of each GAN seed.
        pseudo_labelled: how many unlabelled images the GANs were given a label for.
        metrics: JSON, an entry a GAN.
        curves: CSV, a row a tick.
        evaluations: CSV, a row a figure of an evaluation.
    """
    in_order = sorted(histories.items())
    rows = [{"gan_seed": s} | one.row(tick) for s, one in in_order for tick, _ in one.told]
    spent = [_SPENT] if any(_SPENT in row for row in rows) else []
    judged = [{"gan_seed": s} | row for s, one in in_order for row in one.evaluations()]
    for path in (metrics, curves, evaluations):
        path.parent.mkdir(parents=True, exist_ok=True)
    for file, table, columns in (
        (curves, rows, ["gan_seed", "kimg", *_CURVES, *spent]),
        (evaluations, judged, list(_EVALUATIONS)),
    ):
        pd.DataFrame(table, columns=columns).to_csv(file, index=False, float_format="%.6g")
    summaries = {
        str(gan_seed): one.summary(len(histories)) | {"pseudo_labelled": pseudo_labelled}
        for gan_seed, one in in_order
    }
    text = json.dumps(summaries, indent=2, sort_keys=True, ensure_ascii=False)
    metrics.write_text(text + "\n", encoding="utf-8")


def _rounded(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in numbers.items()}

"""The line of one calibration run: stages as ``dvc.yaml`` wires them, the pool put in between."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from bench.datasets import ROOT
from bench.ledger import Row
from bench.verdict_pool import POOLS, make_pool
from tasks import ingest, merge, quality_filter, retrain
from tasks.contracts.arms import REPEATED, UNFILTERED
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.line import Params
from tasks.contracts.params.report import ReportParams
from tasks.gan.checkpoint import checkpoint_hash, checkpoints, save_checkpoint
from tasks.gan.model import build_gan
from tasks.gan.training import train_gan
from tasks.lift.summary import lift_result

_STAGES: dict[str, Callable[..., None]] = {
    "ingest": ingest.run,
    "quality_filter": quality_filter.run,
    "merge": merge.run,
    "retrain": retrain.run,
}
_ARGUMENT = re.compile(r"--(\S+) \$\{path\.(\w+)\}")


@dataclass
class Line:
    """One run of the line in a folder of its own.

    Attributes:
        folder: where its data, models and reports lie.
        params: every section; the root seed is not read.
        seed: the root seed.
        seconds: of each step that was finished.
    """

    folder: Path
    params: Params
    seed: int
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._wiring = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))

    def run(self, mode: str) -> Row:
        """Do every step and return what the verdict is and rests on.

        Args:
            mode: of `POOLS`.

        Raises:
            UserError: what a stage refuses.
        """
        source = ROOT / self.params.ingest.source
        self._timed("ingest", lambda: self._stage("ingest", source=source, fold=0))
        self._timed("train_gan", self._train_gans)
        self._timed("pool", lambda: self._make_pool(mode))
        for name in ("quality_filter", "merge", "retrain"):
            self._timed(name, lambda name=name: self._stage(name))
        return self._timed("report", self._verdict)

    def path(self, name: str) -> Path:
        """Return where ``path.NAME`` of ``dvc.yaml`` lies in this run's folder."""
        return self.folder / self._wiring["vars"][0]["path"][name]

    def _timed(self, name: str, step: Callable[[], Any]) -> Any:
        since = time.perf_counter()
        result = step()
        self.seconds[name] = round(time.perf_counter() - since, 2)
        return result

    def _stage(self, name: str, **others: Any) -> None:
        command = self._wiring["stages"][name]["cmd"]
        paths = {
            option.replace("-", "_"): self.path(path) for option, path in _ARGUMENT.findall(command)
        }
        _STAGES[name](**paths, **others, params=getattr(self.params, name), seed=self.seed)

    def _train_gans(self) -> None:
        """Train the GANs whose discriminators judge the pool; nobody sees what they make."""
        train, params = ImageSet.load(self.path("train")), self.params.train_gan
        for gan_seed in params.seeds:
            own_seed = self.seed * 1_000_003 + gan_seed
            gan = build_gan(train, params, own_seed)
            for _ in train_gan(gan, train, params, own_seed):
                pass
            save_checkpoint(
                self.path("gan") / str(gan_seed), gan, train.class_names, params, gan_seed
            )
        ImageSet.load(self.path("unlabelled")).take([]).save(self.path("pseudo"))

    def _make_pool(self, mode: str) -> None:
        source = ImageSet.load(self.path(POOLS[mode].split))
        known = pd.read_parquet(self.path("splits"))["image_id"]
        found, per_class = checkpoints(self.path("gan")), self.params.generate.per_class
        assert per_class != "auto", "this pool is made of real images, so many of each class"
        make_pool(
            mode,
            source,
            {gan_seed: checkpoint_hash(folder) for gan_seed, folder in found.items()},
            per_class,
            set(known),
            np.random.default_rng(self.seed),
        ).save(self.path("pool"))

    def _verdict(self) -> Row:
        """Judge the runs as `report` does, without its page and without MLflow.

        Once by the declared rule; once against the same number of repeated real images, whichever
        arm is the strongest; and once more against these, of pool images that no filter chose.
        """
        merged = ImageSet.load(self.path("merged")).manifest
        filtered, retrained, rule = self._json("filter"), self._json("retrain"), self.params.report
        repeated = rule.model_copy(update={"baseline": REPEATED})
        unfiltered = repeated.model_copy(update={"treatment": UNFILTERED})
        return {
            **self._judged(merged, rule),
            "against_repeated": self._judged(merged, repeated),
            "unfiltered_against_repeated": self._judged(merged, unfiltered),
            "pool": filtered["pool"],
            "accepted": filtered["accepted"],
            **{key: retrained[key] for key in ("recipe", "steps", "settled_by")},
            "added": int((merged["origin"] == "synthetic").sum()),
        }

    def _judged(self, merged: pd.DataFrame, rule: ReportParams) -> Row:
        found = lift_result(
            pd.read_parquet(self.path("runs")),
            pd.read_parquet(self.path("predictions")),
            self._json("ingest")["classes"],
            retrained=self._json("retrain"),
            merged=merged,
            control=len(ImageSet.load(self.path("control"))),
            gans={},
            params=rule,
            seed=self.seed,
        )
        return {
            "verdict": found.verdict,
            "baseline": found.baseline,
            "lift_pp": found.lift_pp.mean,
            "ci_low": found.lift_pp.ci_low,
            "ci_high": found.lift_pp.ci_high,
            "mde_pp": found.mde_pp,
        }

    def _json(self, name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.path(name).read_text(encoding="utf-8"))
        return content

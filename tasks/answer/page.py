"""``lift.html``: the report as one file that loads nothing from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
from matplotlib.ticker import MaxNLocator

from tasks.answer import doubts, names, sharing, words
from tasks.answer.commands import commands
from tasks.answer.drawing import drawable
from tasks.answer.evidence import MOST_ROWS
from tasks.answer.funnel import RULES, SCORES, TELLING, Step
from tasks.answer.mistakes import MOST_CLASSES as MOST_CONFUSED
from tasks.answer.mistakes import Mistakes
from tasks.answer.pictures import MOST_CLASSES
from tasks.answer.settling import tried
from tasks.contracts.arms import PSEUDO_LABELLED, SYNTHETIC_ONLY
from tasks.contracts.pages import templates
from tasks.lift.metrics import METRICS
from tasks.lift.result import LiftResult

TEMPLATES = Path(__file__).parent
_FOLD_CLASSES = 24  # a longer table of classes is folded
_MOST_NAMED = 12  # collapsed classes of a GAN; a table has the rest
_METRICS = ("balanced_accuracy", "accuracy", "macro_f1")
_MOST_METRICS = 3  # columns of the table of arms
_LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "scikit-learn",
    "scipy",
    "statsmodels",
    "numpy",
    "pandas",
)


@dataclass(frozen=True)
class Evidence:
    """What the earlier stages found out, as they wrote it.

    Attributes:
        ingest: content of ``ingest.json``.
        validation: content of ``validation.json``.
        gans: content of ``gan.json``.
        filter: content of ``filter.json``.
        funnel: its steps, with examples.
        merge: content of ``merge.json``.
        retrain: content of ``retrain.json``.
        mistakes: of baseline and treatment on the test images.
        exposure: of each arm, what a run was shown (see `exposure_of`).
        versions: of the libraries.
        processor: the kind that this ran on.
    """

    ingest: Mapping[str, Any]
    validation: Mapping[str, Any]
    gans: Mapping[str, Any]
    filter: Mapping[str, Any]
    funnel: Sequence[Step]
    merge: Mapping[str, Any]
    retrain: Mapping[str, Any]
    mistakes: Mistakes
    exposure: Mapping[str, Mapping[str, int]]
    versions: Mapping[str, str]
    processor: str


@dataclass(frozen=True)
class Rail:
    """A line drawn with plain boxes: where a lift stands on it, in % of its length.

    Attributes:
        low, high: ends of the line, in the unit of the lifts.
        smallest: the smallest lift that matters.
        lift: to be drawn; its interval is cut at the ends.
    """

    low: float
    high: float
    smallest: float
    lift: words.Bounded

    @classmethod
    def around(cls, lifts: Sequence[words.Bounded], smallest: float) -> list[Rail]:
        """Return a rail for each lift, on one scale that holds all of them."""
        low = min([-smallest, *(lift.ci_low for lift in lifts)])
        high = max([smallest, *(lift.ci_high for lift in lifts)])
        margin = 0.12 * (high - low) or 1.0
        return [cls(low - margin, high + margin, smallest, lift) for lift in lifts]

    @property
    def beyond(self) -> int:
        """-1 or 1 for a mean left or right of the line, else 0."""
        return (self.lift.mean > self.high) - (self.lift.mean < self.low)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Place and text of the numbers below the line."""
        found = [round(float(tick), 6) for tick in MaxNLocator(5).tick_values(self.low, self.high)]
        inside = [tick for tick in found if self.low <= tick <= self.high]
        digits = 0 if all(tick == round(tick) for tick in inside) else 1
        return [(self.place(tick), words.signed(tick, digits)) for tick in inside]

    def place(self, value: float) -> float:
        """Return where a value stands, 0 to 100."""
        share = (value - self.low) / (self.high - self.low)
        return round(100.0 * min(max(share, 0.0), 1.0), 2)

    def box(self, low: float, high: float) -> str:
        """Return the CSS of a box from one value to another."""
        left = self.place(low)
        return f"left:{left}%;width:{round(self.place(high) - left, 2)}%"


def arm_rails(result: LiftResult) -> dict[str, Rail]:
    """Return a rail for every arm but the baseline; the scale is that of arms with real images."""
    lifts, smallest = result.arm_lift_pp, result.rule.smallest_lift_pp
    near = [lifts[arm] for arm in lifts if arm != SYNTHETIC_ONLY] or list(lifts.values())
    scale = Rail.around(near, smallest)[0]
    return {arm: Rail(scale.low, scale.high, smallest, lift) for arm, lift in lifts.items()}


def exposure_of(runs: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return the real and added images shown of each arm's average run."""
    columns = ["real_seen", "added_seen"]
    means = runs.groupby("arm", sort=False)[columns].mean().round().astype(int)
    return {str(arm): {name: int(row[name]) for name in columns} for arm, row in means.iterrows()}


def library_versions() -> dict[str, str]:
    """Return the installed versions of what computes the result."""
    return {name: version(name) for name in _LIBRARIES}


def render_page(result: LiftResult, evidence: Evidence, pictures: Path) -> str:
    """Return the report as HTML with its pictures inside; all text from data is escaped.

    Args:
        result: of the whole run.
        evidence: of the earlier stages.
        pictures: folder of the PNG files, each inlined under its name.
    """
    return _rendered(
        "page.html.j2",
        result,
        pictures,
        dataset=evidence.ingest["dataset"],
        left_out=evidence.retrain["left_out"],
        exposure=names.exposure(evidence.retrain),
        alike=evidence.retrain.get("schedule") != "pretrain",
        evidence=evidence,
        kept_back=kept_back(evidence.ingest),
        pseudo_labelled=PSEUDO_LABELLED,
        tried=tried(result.classifier),
        rules=RULES,
        scores={rule: SCORES[score] for rule, score in TELLING.items()},
        checks=_held(evidence.validation),
        gate=_held(evidence.merge),
        mean_of_gans=_means([gan["evaluation"] for gan in evidence.gans.values()]),
        classes_of_gans=classes_of_gans(evidence.gans),
        short=[name for name, of in evidence.merge["per_class"].items() if of["short"] > 0],
        most_confused=MOST_CONFUSED,
        most_rows=MOST_ROWS,
    )


def render_folds(
    result: LiftResult,
    pictures: Path,
    *,
    dataset: str,
    left_out: Mapping[str, str],
    exposure: str,
    versions: Mapping[str, str],
    processor: str,
) -> str:
    """Return the report over all folds, likewise; the page of each fold has its own evidence.

    Args:
        result: over all folds.
        pictures: folder of the PNG files.
        dataset: its name.
        left_out: arms that not every fold has, and why.
        exposure: how arms are shown what they add, of `names.exposure`.
        versions: of the libraries.
        processor: the kind that this ran on.
    """
    return _rendered(
        "folds.html.j2",
        result,
        pictures,
        dataset=dataset,
        left_out=left_out,
        exposure=exposure,
        versions=versions,
        processor=processor,
    )


def kept_back(ingested: Mapping[str, Any], folds: int = 5) -> str:
    """Return what a split by shares keeps from training, and what folds would do.

    Args:
        ingested: content of ``ingest.json``.
        folds: how many would be an alternative.

    Returns:
        a sentence, or nothing where the source itself says what is tested on, or folds do.
    """
    if ingested["folds"] or "test" in ingested["given_splits"]:
        return ""
    test, val = (ingested["shares"][name] for name in ("test", "val"))
    shares = [words.percent(share, 0) for share in (test, val, 1 - test - val, 1 - 1 / folds - val)]
    return (
        f"Of the labelled images {shares[0]} % are tested on and {shares[1]} % are real/val, so no "
        f"more than {shares[2]} % can be trained on. With ingest.folds={folds} the line runs "
        f"{folds} times, each time trained on up to {shares[3]} %, and every image is tested on "
        f"once; that takes {folds} times as long."
    )


def _rendered(template: str, result: LiftResult, pictures: Path, **own: Any) -> str:
    environment = templates(TEMPLATES)
    environment.filters |= {
        "decimal": words.decimal,
        "drawable": drawable,
        "percent": words.percent,
        "thousands": "{:,}".format,
    }
    return environment.get_template(template).render(
        lift=result,
        names=names,
        words=words,
        doubts=doubts,
        sharing=sharing,
        commands=commands(result),
        unit=words.unit(result),
        level=words.level(result),
        metrics=_metrics(result),
        rail=Rail.around([result.lift_pp], result.rule.smallest_lift_pp)[0],
        rails=arm_rails(result),
        most_named=_MOST_NAMED,
        pictures={
            path.stem: base64.b64encode(path.read_bytes()).decode()
            for path in sorted(pictures.glob("*.png"))
        },
        fold=len(result.per_class) > _FOLD_CLASSES,
        most_classes=MOST_CLASSES,
        **own,
    )


def classes_of_gans(gans: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each class's mean evaluation over the GANs, and the seeds of those it collapsed in.

    Args:
        gans: content of ``gan.json``; a class may lack a number where too few images tell.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for gan in gans.values() for name in gan["by_class"]):
        rows = [gan["by_class"][name] for gan in gans.values() if name in gan["by_class"]]
        found[name] = _means(rows)
        found[name]["collapsed"] = [seed for seed, gan in gans.items() if name in gan["collapsed"]]
    return found


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return the mean of each key over the rows that have it."""
    return {
        key: fmean(row[key] for row in rows if key in row)
        for key in dict.fromkeys(key for row in rows for key in row)
    }


def _metrics(result: LiftResult) -> dict[str, str]:
    """Return the titles of the metrics in the table of arms, the primary one first."""
    titles = {result.primary_metric: result.metric_name}
    titles |= {key: METRICS[key].title for key in _METRICS}
    return dict(list(titles.items())[:_MOST_METRICS])


def _held(result: Mapping[str, Any]) -> str:
    """Return how many expectations of a gate held, as ``12 of 12``."""
    outcomes = [bool(finding["passed"]) for finding in result["expectations"]]
    return f"{sum(outcomes)} of {len(outcomes)}"

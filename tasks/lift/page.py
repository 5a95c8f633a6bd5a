"""``lift.html``: the report as one file that loads nothing from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from tasks.contracts import arms
from tasks.contracts.lift_text import short_unit
from tasks.contracts.pages import templates
from tasks.lift.drawing import drawable
from tasks.lift.evidence import MOST_ROWS
from tasks.lift.funnel import TELLING, Step
from tasks.lift.outlook import more_images, spoken_unit, what_it_is_worth, what_would_change
from tasks.lift.pictures import MOST_CLASSES, shown_arms
from tasks.lift.rails import arm_rails, number_line
from tasks.lift.verdict import signed

_FOLD_CLASSES = 24  # a longer table of classes is folded
_MOST_NAMED = 12  # collapsed classes of a GAN; a table has the rest
_COLUMNS = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
}
_ROLES = {
    arms.REAL: "real images as they are",
    arms.CLASSICAL: "real images, rotated, shifted, scaled …",
    arms.DUPLICATED: "real images repeated, as many as GAN images are added",
    arms.MIXUP: "real images blended by MixUp or CutMix",
    arms.PSEUDO_LABELLED: "with the unlabelled images themselves, and no GAN",
    arms.UNFILTERED: "with GAN images picked at random",
    arms.FILTERED: "with GAN images that passed the filter",
    arms.SYNTHETIC_ONLY: "accepted GAN images alone",
}
_RULES = {
    "copy": "nearer to a training image than real ones are to each other",
    "near duplicate": "to the eye the same as a training image",
    "not authentic": "nearer to a real image than that one is to its own neighbour",
    "off manifold": "far from everything real",
    "other label": "classifiers that never saw it see another class",
    "low confidence": "classifiers that never saw it do not see its class clearly",
    "low margin": "another class is too close a second",
    "low p_real": "the calibrated discriminator takes it for synthetic",
    "over quota": "its class has enough of them",
}
_SCORES = {"p_real": "p(real)", "confidence": "confidence", "margin": "lead", "realism": "realism"}


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
        exposure: of each arm, what a run was shown (see `exposure_of`).
        versions: of the libraries.
    """

    ingest: Mapping[str, Any]
    validation: Mapping[str, Any]
    gans: Mapping[str, Any]
    filter: Mapping[str, Any]
    funnel: Sequence[Step]
    merge: Mapping[str, Any]
    retrain: Mapping[str, Any]
    exposure: Mapping[str, Mapping[str, int]]
    versions: Mapping[str, str]


def exposure_of(runs: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return steps, and real and added images shown, of each arm's average run."""
    columns = ["steps", "real_seen", "added_seen"]
    means = runs.groupby("arm", sort=False)[columns].mean().round().astype(int)
    return {str(arm): {name: int(row[name]) for name in columns} for arm, row in means.iterrows()}


def render_page(lift: Mapping[str, Any], evidence: Evidence, pictures: Path) -> str:
    """Return the report as HTML with its pictures inside; all text from data is escaped.

    Args:
        lift: content of ``lift.json``.
        evidence: of the earlier stages.
        pictures: folder of the PNG files, each inlined under its name.
    """
    environment = templates(Path(__file__).parent)
    environment.filters |= {
        "decimal": _decimal,
        "drawable": drawable,
        "p_value": _p_value,
        "percent": _percent,
        "short_unit": short_unit,
        "signed": signed,
        "thousands": _thousands,
    }
    return environment.get_template("page.html.j2").render(
        lift=lift,
        evidence=evidence,
        unit=spoken_unit(lift),
        arms=shown_arms(lift),
        pseudo_labelled=arms.PSEUDO_LABELLED,
        metric_columns=_metric_columns(lift),
        roles=_ROLES,
        rules=_RULES,
        scores={rule: _SCORES[score] for rule, score in TELLING.items()},
        line=number_line(lift),
        rails=arm_rails(lift),
        worth=what_it_is_worth(lift),
        more=more_images(lift),
        changes=what_would_change(lift),
        checks=_held(evidence.validation),
        gate=_held(evidence.merge),
        mean_of_gans=_mean_of_gans(evidence.gans),
        classes_of_gans=classes_of_gans(evidence.gans),
        most_named=_MOST_NAMED,
        short=[name for name, of in evidence.merge["per_class"].items() if of["short"] > 0],
        pictures={
            path.stem: base64.b64encode(path.read_bytes()).decode()
            for path in sorted(pictures.glob("*.png"))
        },
        fold=len(lift["per_class"]) > _FOLD_CLASSES,
        most_classes=MOST_CLASSES,
        most_rows=MOST_ROWS,
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


def _mean_of_gans(gans: Mapping[str, Any]) -> dict[str, Any]:
    return _means([gan["evaluation"] for gan in gans.values()])


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return the mean of each key over the rows that have it."""
    return {
        key: fmean(row[key] for row in rows if key in row)
        for key in dict.fromkeys(key for row in rows for key in row)
    }


def _metric_columns(lift: Mapping[str, Any]) -> dict[str, str]:
    """Return three metrics for the table of arms, the primary one first."""
    columns = {lift["primary_metric"]: str(lift["metric_name"])} | _COLUMNS
    return dict(list(columns.items())[:3])


def _held(result: Mapping[str, Any]) -> str:
    """Return how many expectations of a gate held, as ``12 of 12``."""
    outcomes = [bool(finding["passed"]) for finding in result["expectations"]]
    return f"{sum(outcomes)} of {len(outcomes)}"


def _decimal(value: float, digits: int = 3) -> str:
    """Return a number with a true minus."""
    return f"{value:.{digits}f}".replace("-", "−")


def _p_value(value: float) -> str:
    """Return a p-value; a tiny one as a bound."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _percent(share: float, digits: int = 1) -> str:
    """Return a share of 1 in percent, without the sign."""
    return f"{100.0 * share:.{digits}f}"


def _thousands(count: int) -> str:
    """Return a count with thin spaces."""
    return f"{count:,}".replace(",", " ")

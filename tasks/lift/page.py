"""``lift.html``: the report as one file that loads nothing from anywhere."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.ticker import MaxNLocator

from tasks.lift.drawing import drawable
from tasks.lift.evidence import MOST_ROWS
from tasks.lift.pictures import MOST_CLASSES
from tasks.lift.verdict import METRIC_NAMES, signed

_FOLD_CLASSES = 24  # a longer table of classes is folded
_MOST_NAMED = 12  # collapsed classes of a GAN; a table has the rest
_ROLES = {
    "real": "real images as they are",
    "real+classical": "real images, rotated, shifted, scaled …",
    "real+classical+control": "with GAN images picked at random",
    "real+classical+filtered": "with GAN images that passed the filter",
    "synthetic only": "accepted GAN images alone",
}


@dataclass(frozen=True)
class Evidence:
    """What the earlier stages found out, as they wrote it.

    Attributes:
        ingest: content of ``ingest.json``.
        validation: content of ``validation.json``.
        gans: content of ``gan.json``.
        filter: content of ``filter.json``.
        reasons: pool images by what the filter decided.
        merge: content of ``merge.json``.
        versions: of the libraries.
    """

    ingest: Mapping[str, Any]
    validation: Mapping[str, Any]
    gans: Mapping[str, Any]
    filter: Mapping[str, Any]
    reasons: Mapping[str, int]
    merge: Mapping[str, Any]
    versions: Mapping[str, str]


def render_page(lift: Mapping[str, Any], evidence: Evidence, pictures: Path) -> str:
    """Return the report as HTML with its pictures inside; all text from data is escaped.

    Args:
        lift: content of ``lift.json``.
        evidence: of the earlier stages.
        pictures: folder of the PNG files, each inlined under its name.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "decimal": _decimal,
        "drawable": drawable,
        "percent": _percent,
        "signed": signed,
        "thousands": _thousands,
    }
    return environment.get_template("page.html.j2").render(
        lift=lift,
        evidence=evidence,
        metric_names=METRIC_NAMES,
        roles=_ROLES,
        line=number_line(lift),
        changes=what_would_change(lift),
        checks=_held(evidence.validation),
        gate=_held(evidence.merge),
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


def number_line(lift: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the lift, its interval, 0 and the smallest lift sit on a line, 0 to 100 %."""
    points, smallest = lift["lift_pp"], lift["rule"]["smallest_lift_pp"]
    low, high = min(points["ci_low"], -smallest), max(points["ci_high"], smallest)
    margin = 0.12 * (high - low) or 1.0
    low, high = low - margin, high + margin

    def place(value: float) -> float:
        share: float = (value - low) / (high - low)
        return round(100.0 * share, 2)

    ticks = [round(float(t), 6) for t in MaxNLocator(5).tick_values(low, high) if low <= t <= high]
    digits = 0 if all(tick == round(tick) for tick in ticks) else 1
    return {
        "zero": place(0.0),
        "mean": place(points["mean"]),
        "low": place(points["ci_low"]),
        "width": round(place(points["ci_high"]) - place(points["ci_low"]), 2),
        "band": place(-smallest),
        "band_width": round(place(smallest) - place(-smallest), 2),
        "ticks": [(place(tick), signed(tick, digits)) for tick in ticks],
    }


def what_would_change(lift: Mapping[str, Any]) -> list[str]:
    """Return what stands between this answer and another, from the result itself."""
    points, noise = lift["lift_pp"], lift["noise_pp"]
    mean, smallest = points["mean"], lift["rule"]["smallest_lift_pp"]
    said = []
    variance = noise["runs"] ** 2 + noise["images"] ** 2
    if variance > 0:
        share = noise["runs"] ** 2 / variance
        said.append(
            f"{100 * share:.0f} % of the uncertainty comes from the draw of GANs and classifier "
            "seeds: more train_gan.seeds and retrain.seeds narrow the interval fastest."
            if share >= 0.5
            else f"{100 - 100 * share:.0f} % of the uncertainty comes from the draw of test "
            "images: a larger test set narrows the interval fastest."
        )
    reach = mean - points["ci_low"] if mean > 0 else points["ci_high"] - mean
    if lift["verdict"] != "inconclusive":
        spare = abs(mean) - reach
        said.append(
            f"The interval stays {spare:.1f} points clear of 0. The verdict would be "
            f"inconclusive if it touched 0, or with a mean nearer to 0 than {smallest:g} points."
        )
    elif abs(mean) >= max(smallest, 1e-9):
        said.append(
            f"If the mean stayed at {signed(mean)} points, about {(reach / abs(mean)) ** 2:.1f} "
            "times as much evidence (seeds, GANs and test images alike) would carry the "
            "interval past 0. It may as well move towards 0."
        )
    else:
        said.append(
            f"More evidence narrows the interval, but with the mean at {signed(mean)} points, "
            f"below the {smallest:g} that matter, the verdict would stay as it is: better GAN "
            "images would have to move it."
        )
    said.append(
        "The answer holds for these classes, this many real images, this GAN budget and this "
        "classifier. GAN images help most where real ones are few, and less beside strong "
        "classical augmentation."
    )
    return said


def classes_of_gans(gans: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each class's mean evaluation over the GANs, and the seeds of those it collapsed in.

    Args:
        gans: content of ``gan.json``; a class may lack a number where too few images tell.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for gan in gans.values() for name in gan["by_class"]):
        rows = [gan["by_class"][name] for gan in gans.values() if name in gan["by_class"]]
        found[name] = {
            key: fmean(row[key] for row in rows if key in row)
            for key in dict.fromkeys(key for row in rows for key in row)
        }
        found[name]["collapsed"] = [seed for seed, gan in gans.items() if name in gan["collapsed"]]
    return found


def _held(result: Mapping[str, Any]) -> str:
    """Return how many expectations of a gate held, as ``12 of 12``."""
    outcomes = [bool(finding["passed"]) for finding in result["expectations"]]
    return f"{sum(outcomes)} of {len(outcomes)}"


def _decimal(value: float, digits: int = 3) -> str:
    """Return a number with a true minus."""
    return f"{value:.{digits}f}".replace("-", "−")


def _percent(share: float, digits: int = 1) -> str:
    """Return a share of 1 in percent, without the sign."""
    return f"{100.0 * share:.{digits}f}"


def _thousands(count: int) -> str:
    """Return a count with thin spaces."""
    return f"{count:,}".replace(",", " ")

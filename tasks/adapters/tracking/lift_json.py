"""Every reading of ``lift.json`` for MLflow: names, tags, metrics, and the run's description."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.adapters.tracking.lineage import PROCESSOR, plain, run_page, safe_name
from tasks.contracts.arms import fraction_of
from tasks.contracts.errors import UserError
from tasks.contracts.lift_text import short_unit, worth_text

REPORT = "00_lift_report.html"  # sorts first, so that the artifact page opens with it
PICTURE = "lift_by_arm_small.png"
DIGEST = "ganlift.lift_sha256"  # tag
_SCHEMA = "ganlift/lift/2"
_LENGTH = 8000  # MLflow's limit
_MOST_NAMED = 12  # collapsed classes of a GAN
_ANSWERS = {
    "helps": "Yes, it helps",
    "hurts": "No, it hurts",
    "inconclusive": "Not proven either way",
}
_Lift = Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """Files of a result.

    Attributes:
        lift: ``lift.json``; its sha256 is what the run is known by.
        page: the report, one HTML file.
        pictures: a folder of PNG files.
        runs: ``runs.parquet``, a row for each arm and classifier seed.
        gan_metrics: ``gan.json``, with the checkpoints the result was made with.
        retrained: ``retrain.json``.
        classifier: the retrained classifier's folder.
    """

    lift: Path
    page: Path
    pictures: Path
    runs: Path
    gan_metrics: Path
    retrained: Path
    classifier: Path

    @cached_property
    def content(self) -> dict[str, Any]:
        """What ``lift.json`` says."""
        return read_lift(self.lift)

    @cached_property
    def retraining(self) -> dict[str, Any]:
        """What ``retrain.json`` says."""
        content: dict[str, Any] = json.loads(self.retrained.read_text(encoding="utf-8"))
        return content

    @cached_property
    def digest(self) -> str:
        """Sha256 of ``lift.json``."""
        return hashlib.sha256(self.lift.read_bytes()).hexdigest()


def read_lift(path: Path) -> dict[str, Any]:
    """Return the content of a ``lift.json``.

    Raises:
        UserError: it was written by another version of ganlift.
    """
    lift: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if lift.get("schema") != _SCHEMA:
        raise UserError(
            str(path),
            f"its schema is {lift.get('schema')!r}, and this ganlift reads {_SCHEMA!r}",
            "Run `ganlift run` again for a result that can be read",
        )
    return lift


def run_name(lift: _Lift) -> str:
    """Return what a result is called: ``helps: +1.3 pp [0.4, 2.2]``."""
    points, unit = lift["lift_pp"], short_unit(lift["unit"])
    interval = f"[{points['ci_low']:.1f}, {points['ci_high']:.1f}]"
    return f"{lift['verdict']}: {points['mean']:+.1f} {unit} {interval}"


def p_text(value: float) -> str:
    """Return a p-value; one that was rounded away as a bound."""
    return "< 0.001" if value < 0.001 else f"{value:.2g}"


def result_tags(lift: _Lift, digest: str) -> dict[str, str]:
    """Return the tags by which a pipeline's run is found."""
    return {
        "ganlift.verdict": lift["verdict"],
        "ganlift.test_digest": lift["digests"]["test"],
        DIGEST: digest,
    }


def lift_tags(lift: _Lift) -> dict[str, str]:
    """Return what a registered classifier tells of the result that it comes from.

    The lift is that of the treatment over the baseline, in the unit of ``lift.json``.
    """
    points = lift["lift_pp"]
    told = {name: lift[name] for name in ("verdict", "treatment", "baseline", "primary_metric")}
    told |= {"lift_pp": points["mean"]}
    told |= {f"lift_pp_{end}": points[end] for end in ("ci_low", "ci_high")}
    return {f"ganlift.{name}": str(value) for name, value in told.items()}


def one_line(lift: _Lift) -> str:
    """Return the result in one line, as the description of a registered classifier."""
    return f"{run_name(lift)} in {lift['metric_name']}, {lift['treatment']} over {lift['baseline']}"


def lift_metrics(lift: _Lift) -> Iterator[tuple[str, float]]:
    """Yield the lift, its interval, its worth, and every arm's means as ``arm.metric``."""
    points, worth = lift["lift_pp"], lift["worth"]
    values = {"lift_pp": points["mean"], "mde_pp": lift["mde_pp"], "p_value": points["p_value"]}
    values |= {f"lift_pp_{end}": points[end] for end in ("ci_low", "ci_high")}
    if worth and worth["real_images"] is not None:
        values["worth_real_images"] = worth["real_images"] - worth["have"]
    for arm, metrics in lift["arms"].items():
        values |= {f"{arm}.{key}": of["mean"] for key, of in metrics.items() if "mean" in of}
    for name, value in values.items():
        if isinstance(value, int | float) and math.isfinite(value):
            yield safe_name(name), float(value)


def describe(lift: _Lift, tags: Mapping[str, str], experiment: str, run_id: str, gans: str) -> str:
    """Return the description of a pipeline's run, as markdown: what a person reads first.

    Args:
        lift: content of ``lift.json``.
        tags: of the run: its data set and its processor.
        experiment: id of the run's experiment.
        run_id: of the run.
        gans: links to the GANs behind the result.
    """
    _, _, interval = run_name(lift).partition(": ")
    lines = [
        f"## {_ANSWERS[lift['verdict']]}: {interval}",
        "",
        plain(lift["answer"]),
        "",
        *(f"- {line}" for line in _facts(lift, tags)),
        "",
        f"[The whole report]({run_page(experiment, run_id, f'/artifacts/{REPORT}')})",
        "",
        # Relative, so that it holds whatever the server is called.
        f"![lift by arm](get-artifact?path={PICTURE}&run_uuid={run_id})",
        "",
        *_arms(lift),
        *_comparisons(lift),
        *_collapsed(lift),
        "",
        gans,
    ]
    note = "\n".join(lines)
    return note if len(note) <= _LENGTH else f"{note[: _LENGTH - 7]}… [cut]"


def _facts(lift: _Lift, tags: Mapping[str, str]) -> Iterator[str]:
    """Yield what has to be known about the lift, a line each."""
    points, unit = lift["lift_pp"], short_unit(lift["unit"])
    chosen = lift["baseline_choice"]["rule"] == "strongest"
    why = " (the strongest arm without GAN images on real/val)" if chosen else ""
    yield (
        f"Verdict **{lift['verdict']}**: on {plain(Path(tags['ganlift.dataset']).name)}, "
        f"*{plain(lift['treatment'])}* is **{points['mean']:+.2f} {unit}** in "
        f"{plain(lift['metric_name'])} over *{plain(lift['baseline'])}*{why}; "
        f"{points['level']:.0%} interval **[{points['ci_low']:.2f}, {points['ci_high']:.2f}]**, "
        f"p {p_text(points['p_value'])}"
    )
    if worth := lift["worth"]:
        yield (
            f"The lift is worth **{worth_text(worth)}**; the training set has {worth['have']:,} "
            "real images"
        )
    yield (
        f"If the true lift were {lift['mde_pp']:.1f} {unit}, {lift['power']:.0%} of such "
        "experiments would find it"
    )
    if lift["settle"]:
        needed = {"GANs": "gans", "classifier seeds": "seeds", "test images": "test_images"}
        ways = {what: lift["settle"][key] for what, key in needed.items()}
        told = [f"{count:,} {what}" for what, count in ways.items() if count is not None]
        yield (
            f"A verdict on a lift of this size would take {' or '.join(told)}"
            if told
            else "No number of GANs, classifier seeds or test images alone would bring a verdict "
            "on a lift of this size"
        )
    if not lift["gan_luck"]:
        yield (
            "Only one GAN was trained, so the interval leaves out how much results vary from one "
            "GAN to the next"
        )
    if PROCESSOR in tags:
        yield (
            f"Computed on {plain(tags[PROCESSOR])}; another kind of processor rounds differently, "
            "so its figures may differ a little"
        )


def _arms(lift: _Lift) -> Iterator[str]:
    """Yield the table of arms; those of the curve of real images are not of it."""
    level, unit = lift["lift_pp"]["level"], short_unit(lift["unit"])
    columns = ("arm", plain(lift["metric_name"]), "over seeds", f"lift, {unit}", f"{level:.0%}")
    yield from _head(*columns)
    for arm, metrics in lift["arms"].items():
        if fraction_of(arm) is not None:
            continue
        entry, points = metrics[lift["primary_metric"]], lift["arm_lift_pp"].get(arm)
        shown = ("baseline", "") if points is None else (f"{points['mean']:+.2f}", _span(points))
        said = f"**{plain(arm)}**" if arm == lift["treatment"] else plain(arm)
        yield _row(said, f"{entry['mean']:.4f}", f"± {entry['std']:.4f}", *shown)


def _comparisons(lift: _Lift) -> Iterator[str]:
    """Yield the secondary comparisons with their p-values after Holm."""
    if not lift["comparisons"]:
        return
    yield from ("", "**Secondary comparisons**, with p-values corrected by Holm's method:", "")
    yield from _head("arm", "over", f"lift, {short_unit(lift['unit'])}", "interval", "p, Holm")
    for one in lift["comparisons"]:
        points, names = one["lift_pp"], (plain(one["arm"]), plain(one["over"]))
        yield _row(*names, f"{points['mean']:+.2f}", _span(points), p_text(one["p_holm"]))


def _head(*columns: str) -> tuple[str, str]:
    return _row(*columns), f"|{'---|' * len(columns)}"


def _row(*cells: str) -> str:
    """Return a row of a table, spaced, which MLflow's page does not do."""
    return f"| {' &emsp;| '.join(cells)} |"


def _collapsed(lift: _Lift) -> Iterator[str]:
    for seed, gan in lift["gans"].items():
        if gan["collapsed"]:
            names = plain(", ".join(gan["collapsed"][:_MOST_NAMED]))
            more = ", …" if len(gan["collapsed"]) > _MOST_NAMED else ""
            yield ""
            yield f"**GAN seed {int(seed)} has collapsed** on {names}{more}"


def _span(points: Mapping[str, float]) -> str:
    return f"{points['ci_low']:+.2f} to {points['ci_high']:+.2f}"

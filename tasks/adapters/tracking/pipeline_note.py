"""What a person reads first on the page of a pipeline's run, as markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.adapters.tracking.names import interval_text, p_text, plain, run_page
from tasks.contracts.arms import fraction_of
from tasks.contracts.lift_text import short_unit, worth_text

REPORT = "00_lift_report.html"  # sorts first, so that the artifact page opens with it
PICTURE = "lift_by_arm_small.png"
_LENGTH = 8000  # MLflow's limit
_MOST_NAMED = 12  # collapsed classes of a GAN
_ANSWERS = {
    "helps": "Yes, it helps",
    "hurts": "No, it hurts",
    "inconclusive": "Not proven either way",
}


def describe(
    result: Mapping[str, Any], dataset: str, experiment: str, run_id: str, gans: str
) -> str:
    """Return the description of a pipeline's run: answer, lift, worth, picture, arms, GANs.

    Args:
        result: content of ``lift.json``.
        dataset: the source as in ``params.yaml``.
        experiment: id of the run's experiment.
        run_id: of the run.
        gans: links to the GANs behind the result.
    """
    report = run_page(experiment, run_id, f"/artifacts/{REPORT}")
    lines = [
        f"## {_ANSWERS[result['verdict']]}: {interval_text(result)}",
        "",
        plain(result["answer"]),
        "",
        *(f"- {line}" for line in _facts(result, dataset)),
        "",
        f"[The whole report]({report})",
        "",
        # Relative, so that it holds whatever the server is called.
        f"![lift by arm](get-artifact?path={PICTURE}&run_uuid={run_id})",
        "",
        *_arms(result),
        *_comparisons(result),
        *_collapsed(result),
        "",
        gans,
    ]
    note = "\n".join(lines)
    return note if len(note) <= _LENGTH else f"{note[: _LENGTH - 7]}… [cut]"


def _facts(result: Mapping[str, Any], dataset: str) -> Iterator[str]:
    """Yield what has to be known about the lift, a line each."""
    lift, unit = result["lift_pp"], short_unit(result["unit"])
    chosen = result["baseline_choice"]["rule"] == "strongest"
    why = ", the strongest arm without GAN images on real/val" if chosen else ""
    yield (
        f"Verdict **{result['verdict']}**: lift in {plain(result['metric_name'])} of "
        f"*{plain(result['treatment'])}* over *{plain(result['baseline'])}*{why}, on "
        f"{plain(Path(dataset).name)}: **{lift['mean']:+.2f} {unit}**, {lift['level']:.0%} "
        f"interval **[{lift['ci_low']:.2f}, {lift['ci_high']:.2f}]**, p {p_text(lift['p_value'])}"
    )
    if worth := result["worth"]:
        yield f"Worth: **{worth_text(worth)}**; there are {worth['have']:,}"
    yield (
        f"A true lift of {result['mde_pp']:.1f} {unit} would be found in {result['power']:.0%} of "
        "such comparisons"
    )
    if result["settle"]:
        needed = {"GANs": "gans", "classifier seeds": "seeds", "test images": "test_images"}
        ways = {what: result["settle"][key] for what, key in needed.items()}
        told = [f"{count:,} {what}" for what, count in ways.items() if count is not None]
        yield (
            f"To settle it at this lift: {' or '.join(told)}"
            if told
            else "No number of GANs, classifier seeds or test images alone would settle it"
        )
    if not result["gan_luck"]:
        yield "One GAN alone: the interval does not hold the luck of its training"


def _arms(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of arms; those of the curve of real images are not of it."""
    metric, level = result["primary_metric"], result["lift_pp"]["level"]
    lift_column = f"lift, {short_unit(result['unit'])}"
    yield _row("arm", plain(result["metric_name"]), "over seeds", lift_column, f"{level:.0%}")
    yield "|---|---|---|---|---|"
    for arm, metrics in result["arms"].items():
        if fraction_of(arm) is not None:
            continue
        entry, lift = metrics[metric], result["arm_lift_pp"].get(arm)
        shown = ("baseline", "") if lift is None else (f"{lift['mean']:+.2f}", _span(lift))
        said = f"**{plain(arm)}**" if arm == result["treatment"] else plain(arm)
        yield _row(said, f"{entry['mean']:.4f}", f"± {entry['std']:.4f}", *shown)


def _comparisons(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the secondary comparisons with their p-values after Holm."""
    if not result["comparisons"]:
        return
    yield ""
    yield "**Secondary comparisons**, their p-values corrected by Holm:"
    yield ""
    yield _row("arm", "over", f"lift, {short_unit(result['unit'])}", "interval", "p, Holm")
    yield "|---|---|---|---|---|"
    for one in result["comparisons"]:
        lift, names = one["lift_pp"], (plain(one["arm"]), plain(one["over"]))
        yield _row(*names, f"{lift['mean']:+.2f}", _span(lift), p_text(one["p_holm"]))


def _row(*cells: str) -> str:
    """Return a row of a table, spaced, which MLflow's page does not do."""
    return f"| {' &emsp;| '.join(cells)} |"


def _collapsed(result: Mapping[str, Any]) -> Iterator[str]:
    for seed, gan in result["gans"].items():
        if gan["collapsed"]:
            names = plain(", ".join(gan["collapsed"][:_MOST_NAMED]))
            more = ", …" if len(gan["collapsed"]) > _MOST_NAMED else ""
            yield ""
            yield f"**GAN seed {int(seed)} has collapsed** on {names}{more}"


def _span(lift: Mapping[str, float]) -> str:
    return f"{lift['ci_low']:+.2f} to {lift['ci_high']:+.2f}"

"""The description of a pipeline's run on MLflow's page, as markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tasks.adapters.tracking.lineage import COMMIT, DVC_LOCK, LINE, PROCESSOR, plain, run_page
from tasks.answer import words
from tasks.answer.commands import commands
from tasks.answer.doubts import doubts
from tasks.answer.sharing import in_short
from tasks.lift.result import LiftResult

REPORT = "00_lift_report.html"  # sorts first, so that the artifact page opens with it
UNRECORDED = "`ganlift track` adds here how this run comes back, once its line has ended"
SHOWN = {  # pictures of the report that a run shows, and what is said above them
    "lift_by_arm": "Every arm, and its lift over the baseline",
    "confusion": "Which classes are taken for which",
    "flipped": "Test images on which most runs of baseline and treatment differ",
}
_FIRST = 4  # lines of the picture that comes first
_LENGTH = 8000  # MLflow's limit
_MOST_NAMED = 12  # collapsed classes of a GAN


def small_picture(name: str) -> str:
    """Return the artifact that holds a picture as wide as the description."""
    return f"{name}_small.png"


def describe(
    result: LiftResult,
    tags: Mapping[str, str],
    experiment: str,
    run_id: str,
    gans: str,
    pictures: Sequence[str],
) -> str:
    """Return the description of a pipeline's run: what a person reads first.

    Args:
        result: what was found.
        tags: of the run: its data set and its processor.
        experiment: id of the run's experiment.
        run_id: of the run.
        gans: links to the GANs behind the result.
        pictures: those of `SHOWN` that the run has.
    """
    meaning = words.MEANING[result.verdict]
    shown = [line for name in pictures for line in (SHOWN[name], "", _picture(name, run_id), "")]
    lines = [
        f"## {meaning[0].upper()}{meaning[1:]}: {plain(words.lift(result))}",
        "",
        plain(f"{result.answer} {result.advice}"),
        "",
        *shown[:_FIRST],
        *_doubts(result),
        *(f"- {line}" for line in _facts(result, tags)),
        "",
        f"[The whole report]({run_page(experiment, run_id, f'/artifacts/{REPORT}')})",
        "",
        *_arms(result),
        *_comparisons(result),
        *_collapsed(result),
        "",
        gans,
        "",
        way_back(run_id, tags),
        "",
        *shown[_FIRST:],
        "**What would change the answer**",
        "",
        *(f"- {plain(one.reason)} `{one.line}`" for one in commands(result)),
        *(f"- {plain(line)}" for line in words.what_would_change(result)),
    ]
    note = "\n".join(lines)
    return note if len(note) <= _LENGTH else f"{note[: _LENGTH - 7]}… [cut]"


def way_back(run_id: str, tags: Mapping[str, str]) -> str:
    """Return how the run's settings, data, models and reports come back, as markdown."""
    if LINE not in tags:
        return UNRECORDED
    of = [f"`dvc.lock` {tags[DVC_LOCK][:12]}"]
    if commit := tags.get(COMMIT):
        edited = ", with edits" if commit.endswith("-dirty") else ""
        of.insert(0, f"commit {plain(commit.removesuffix('-dirty')[:12])}{edited}")
    return (
        "Bring its settings, data, models and reports back with "
        f"`ganlift checkout {run_id[:8]}` ({', '.join(of)})"
    )


def _picture(name: str, run_id: str) -> str:
    """Return a picture's markdown; the address holds whatever the server is called."""
    return f"![{name}](get-artifact?path={small_picture(name)}&run_uuid={run_id})"


def _doubts(result: LiftResult) -> Iterator[str]:
    """Yield what speaks against the run as a whole, before any figure of it."""
    found = doubts(result)
    if found:
        yield from ("**Can this run answer at all?**", "")
        yield from (f"- {plain(sentence)}" for sentence in found)
        yield ""


def _facts(result: LiftResult, tags: Mapping[str, str]) -> Iterator[str]:
    """Yield what has to be known about the lift, a line each."""
    yield (
        f"Verdict **{result.verdict}** on {plain(Path(tags['ganlift.dataset']).name)}: "
        f"{plain(words.against(result))}, p {plain(words.p_value(result.lift_pp.p_value))}"
    )
    if result.worth:
        yield plain(words.worth_in_full(result, result.worth))
    yield plain(" ".join(words.settled(result)))
    if result.sharing:
        yield plain(in_short(result.sharing))
    if PROCESSOR in tags:
        yield (
            f"Computed on {plain(tags[PROCESSOR])}; another kind of processor rounds differently, "
            "so its figures may differ a little"
        )


def _arms(result: LiftResult) -> Iterator[str]:
    """Yield the table of arms."""
    metric, unit = result.primary_metric, words.unit(result)
    lifts = plain(f"lift, {unit} [{words.level(result)} interval]")
    yield from _head("arm", plain(result.metric_name), "over seeds", lifts)
    for arm in result.arms:
        of, lift = result.primary(arm), result.arm_lift_pp.get(arm)
        said = f"**{plain(arm)}**" if arm == result.treatment else plain(arm)
        spread = f"± {words.value(of.std, metric)}"
        shown = words.interval(lift) if lift else "baseline"
        yield _row(said, words.value(of.mean, metric), spread, shown)


def _comparisons(result: LiftResult) -> Iterator[str]:
    """Yield the secondary comparisons with their p-values after Holm."""
    if not result.comparisons:
        return
    yield from ("", "**Secondary comparisons**, with p-values corrected by Holm's method:", "")
    yield from _head("arm", "over", plain(f"lift, {words.unit(result)}"), "p, Holm")
    for one in result.comparisons:
        p = plain(words.p_value(one.p_holm))
        yield _row(plain(one.arm), plain(one.over), words.interval(one.lift_pp), p)


def _head(*columns: str) -> tuple[str, str]:
    return _row(*columns), f"|{'---|' * len(columns)}"


def _row(*cells: str) -> str:
    """Return a row of a table, spaced, which MLflow's page does not do."""
    return f"| {' &emsp;| '.join(cells)} |"


def _collapsed(result: LiftResult) -> Iterator[str]:
    for seed, gan in result.gans.items():
        if gan.collapsed:
            names = plain(", ".join(gan.collapsed[:_MOST_NAMED]))
            more = ", …" if len(gan.collapsed) > _MOST_NAMED else ""
            yield ""
            yield f"**GAN seed {seed} has collapsed** on {names}{more}"

"""Results of several runs side by side: what is compared, and the page that shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.adapters.tracking.past_runs import PastRun
from tasks.answer import words
from tasks.answer.page import TEMPLATES, Rail
from tasks.answer.words import NOTHING
from tasks.contracts.pages import templates
from tasks.lift.result import LiftResult

_HERE = Path(__file__).parent
_QUALITY = {
    "kid": "KID",
    "fid": "FID",
    "coverage": "coverage",
    "precision": "precision",
    "recall": "recall",
    "conditioning": "conditioning accuracy",
    "copy_rate": "copy rate",
}


@dataclass(frozen=True)
class Row:
    """One thing compared: its name, and what each run says of it."""

    name: str
    cells: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the runs do not all say the same."""
        return len(set(self.cells)) > 1


@dataclass(frozen=True)
class SideBySide:
    """Runs side by side.

    Attributes:
        runs: two at least.
        warnings: why they cannot be compared as they are, a sentence each.
        sections: title to rows; of the params, those that differ.
        same_params: how many params are equal in all.
    """

    runs: Sequence[PastRun]
    warnings: Sequence[str]
    sections: Mapping[str, Sequence[Row]]
    same_params: int


def compare(runs: Sequence[PastRun]) -> SideBySide:
    """Set runs side by side."""
    results = [run.lift for run in runs]
    params = _params(runs)
    sections = {
        "The answer": [
            Row(name, tuple(say(result) for result in results)) for name, say in _ANSWER.items()
        ],
        "What was run": [Row(name, tuple(say(run) for run in runs)) for name, say in _RUN.items()],
        "Every arm": _arms(results),
        "The GANs": _gans(runs),
        "Params that differ": [row for row in params if row.differs],
    }
    return SideBySide(
        runs=runs,
        warnings=_warnings(results),
        sections={title: rows for title, rows in sections.items() if rows},
        same_params=sum(not row.differs for row in params),
    )


def render(found: SideBySide) -> str:
    """Return the comparison as one HTML file; all text from data is escaped."""
    page = templates(_HERE, TEMPLATES).get_template("comparison.html.j2")
    rails = Rail.around([run.lift.lift_pp for run in found.runs], 0.0)
    return page.render(of=found, rails=rails, words=words, nothing=NOTHING)


def _warnings(results: Sequence[LiftResult]) -> list[str]:
    said = []
    if len({result.digests.test for result in results}) > 1:
        said.append(
            "These runs were judged on different test images, which changes their figures too: "
            "compare only the lifts, and those with care."
        )
    if len({result.primary_metric for result in results}) > 1:
        said.append("Their primary metrics differ, so their lifts cannot be compared.")
    return said


_ANSWER: Mapping[str, Callable[[LiftResult], str]] = {
    "verdict": lambda result: result.verdict,
    "lift": words.lift,
    "level of the interval": words.level,
    "p": lambda result: words.p_value(result.lift_pp.p_value),
    "primary metric": lambda result: result.metric_name,
    "treatment": lambda result: result.treatment,
    "baseline": lambda result: f"{result.baseline} ({result.baseline_choice.rule})",
    "worth": lambda result: words.worth(result.worth) if result.worth else NOTHING,
    "detectable lift": lambda result: f"{result.mde_pp:.1f} {words.unit(result)}",
    "real images": lambda result: f"{result.counts.train:,}",
    "test images": lambda result: f"{result.counts.test:,}",
    "test split": lambda result: result.digests.test[:12],
    "GANs × classifier seeds": lambda result: (
        f"{len(result.seeds.gan)} × {len(result.seeds.classifier)}"
    ),
    "classifier": lambda result: result.classifier.name,
    "recipe": lambda result: f"{result.classifier.recipe}, {result.classifier.steps:,} steps",
}
_RUN: Mapping[str, Callable[[PastRun], str]] = {
    "data set": lambda run: run.dataset,
    "code": lambda run: _short_commit(run.commit) or NOTHING,
}


def _short_commit(commit: str) -> str:
    return commit[:12] + ("-dirty" if commit.endswith("-dirty") else "")


def _arms(results: Sequence[LiftResult]) -> list[Row]:
    """Return each arm's primary metric, with its lift over the run's own baseline."""
    names = dict.fromkeys(arm for result in results for arm in result.arms)
    return [Row(arm, tuple(_arm(result, arm) for result in results)) for arm in names]


def _arm(result: LiftResult, arm: str) -> str:
    if arm not in result.arms:
        return NOTHING
    mean = words.value(result.primary(arm).mean, result.primary_metric)
    if arm == result.baseline:
        return f"{mean}, baseline"
    lift = result.arm_lift_pp.get(arm)
    return f"{mean}, {words.interval(lift)}" if lift else mean


def _gans(runs: Sequence[PastRun]) -> list[Row]:
    rows = [
        Row(title, tuple(_number(run.gans.get(name)) for run in runs))
        for name, title in _QUALITY.items()
    ]
    gans = [run.lift.gans.values() for run in runs]
    collapsed = (f"{sum(len(one.collapsed) for one in of)} in {len(of)} GANs" for of in gans)
    rows.append(Row("collapsed classes", tuple(collapsed)))
    return [row for row in rows if set(row.cells) != {NOTHING}]


def _params(runs: Sequence[PastRun]) -> list[Row]:
    names = sorted({name for run in runs for name in run.params})
    return [Row(name, tuple(run.params.get(name, NOTHING) for run in runs)) for name in names]


def _number(value: float | None) -> str:
    return NOTHING if value is None else words.decimal(value, 4)

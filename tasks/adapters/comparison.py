"""Results of several runs side by side: what is compared, and the page that shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.adapters.tracking.lift_json import p_text
from tasks.adapters.tracking.past_runs import PastRun
from tasks.contracts.arms import fraction_of
from tasks.contracts.lift_text import short_unit, worth_text
from tasks.contracts.pages import templates

NOTHING = "–"
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
class Comparison:
    """Runs side by side.

    Attributes:
        runs: two at least.
        warnings: why they cannot be compared without more ado, a sentence each.
        sections: title to rows; of the params, those that differ.
        same_params: how many params are equal in all.
    """

    runs: Sequence[PastRun]
    warnings: Sequence[str]
    sections: Mapping[str, Sequence[Row]]
    same_params: int


def compare(runs: Sequence[PastRun]) -> Comparison:
    """Set runs side by side."""
    params = _params(runs)
    sections = {
        "The answer": _rows(runs, _ANSWER),
        "Every arm": _arms(runs),
        "The GANs": _gans(runs),
        "Params that differ": [row for row in params if row.differs],
    }
    return Comparison(
        runs=runs,
        warnings=_warnings(runs),
        sections={title: rows for title, rows in sections.items() if rows},
        same_params=sum(not row.differs for row in params),
    )


def render(comparison: Comparison) -> str:
    """Return the comparison as one HTML file; all text from data is escaped."""
    page = templates(_HERE, _HERE.parent / "lift").get_template("comparison.html.j2")
    return page.render(of=comparison, line=_line(comparison.runs), nothing=NOTHING)


def _warnings(runs: Sequence[PastRun]) -> list[str]:
    said = []
    if len({run.lift["digests"]["test"] for run in runs}) > 1:
        said.append(
            "These runs were judged on different test splits: their figures differ by the images "
            "too, so only the lifts may be set side by side, with care."
        )
    if len({run.lift["primary_metric"] for run in runs}) > 1:
        said.append("Their primary metrics differ: a lift in one is no lift in the other.")
    return said


def _lift(run: PastRun) -> str:
    return f"{_signed(run.lift['lift_pp']['mean'])} {short_unit(run.lift['unit'])}"


def _interval(run: PastRun) -> str:
    points = run.lift["lift_pp"]
    return f"{_signed(points['ci_low'])} to {_signed(points['ci_high'])} at {points['level']:.0%}"


def _baseline(run: PastRun) -> str:
    rule = run.lift["baseline_choice"]["rule"]
    return f"{run.lift['baseline']} ({rule})"


def _short_commit(commit: str) -> str:
    return commit[:12] + ("-dirty" if commit.endswith("-dirty") else "")


def _worth(run: PastRun) -> str:
    return worth_text(run.lift["worth"]) if run.lift["worth"] else NOTHING


_ANSWER: Mapping[str, Callable[[PastRun], str]] = {
    "verdict": lambda run: str(run.lift["verdict"]),
    "lift": _lift,
    "interval": _interval,
    "p": lambda run: p_text(run.lift["lift_pp"]["p_value"]),
    "primary metric": lambda run: str(run.lift["metric_name"]),
    "treatment": lambda run: str(run.lift["treatment"]),
    "baseline": _baseline,
    "worth": _worth,
    "detectable lift": lambda run: f"{run.lift['mde_pp']:.2f} {short_unit(run.lift['unit'])}",
    "data set": lambda run: run.dataset,
    "real images": lambda run: f"{run.lift['counts']['train']:,}",
    "test images": lambda run: f"{run.lift['counts']['test']:,}",
    "test split": lambda run: str(run.lift["digests"]["test"])[:12],
    "GANs × classifier seeds": lambda run: " × ".join(
        str(len(run.lift["seeds"][kind])) for kind in ("gan", "classifier")
    ),
    "classifier": lambda run: str(run.lift["classifier"]["name"]),
    "code": lambda run: _short_commit(run.commit) or NOTHING,
}


def _rows(runs: Sequence[PastRun], entries: Mapping[str, Callable[[PastRun], str]]) -> list[Row]:
    return [Row(name, tuple(say(run) for run in runs)) for name, say in entries.items()]


def _arms(runs: Sequence[PastRun]) -> list[Row]:
    """Return each arm's primary metric, with its lift over the run's own baseline."""
    names = dict.fromkeys(arm for run in runs for arm in run.lift["arms"])
    return [
        Row(arm, tuple(_arm(run.lift, arm) for run in runs))
        for arm in sorted(names, key=lambda arm: fraction_of(arm) is not None)
    ]


def _arm(lift: Mapping[str, Any], arm: str) -> str:
    if arm not in lift["arms"]:
        return NOTHING
    mean = f"{lift['arms'][arm][lift['primary_metric']]['mean']:.4f}"
    if arm == lift["baseline"]:
        return f"{mean} baseline"
    points = lift["arm_lift_pp"].get(arm)
    return f"{mean} ({_signed(points['mean'])})" if points else mean


def _gans(runs: Sequence[PastRun]) -> list[Row]:
    rows = [
        Row(title, tuple(_number(run.gans.get(name)) for run in runs))
        for name, title in _QUALITY.items()
    ]
    rows.append(Row("collapsed classes", tuple(_collapsed(run.lift) for run in runs)))
    return [row for row in rows if set(row.cells) != {NOTHING}]


def _collapsed(lift: Mapping[str, Any]) -> str:
    count = sum(len(gan["collapsed"]) for gan in lift["gans"].values())
    return f"{count} in {len(lift['gans'])} GANs"


def _params(runs: Sequence[PastRun]) -> list[Row]:
    names = sorted({name for run in runs for name in run.params})
    return [Row(name, tuple(run.params.get(name, NOTHING) for run in runs)) for name in names]


def _line(runs: Sequence[PastRun]) -> list[dict[str, float]]:
    """Return where each lift, its interval and 0 sit on a line common to all, 0 to 100 %."""
    lifts: list[Mapping[str, float]] = [run.lift["lift_pp"] for run in runs]
    low = min(0.0, *(points["ci_low"] for points in lifts))
    high = max(0.0, *(points["ci_high"] for points in lifts))
    margin = 0.08 * (high - low) or 1.0
    low, high = low - margin, high + margin

    def place(value: float) -> float:
        return round(100.0 * (value - low) / (high - low), 2)

    return [
        {
            "zero": place(0.0),
            "mean": place(points["mean"]),
            "low": place(points["ci_low"]),
            "width": round(place(points["ci_high"]) - place(points["ci_low"]), 2),
        }
        for points in lifts
    ]


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}".replace("-", "−")

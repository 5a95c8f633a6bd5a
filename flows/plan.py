"""``ganlift plan``: what a data set holds, the settings it asks for, and the time it will take."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.edit_params import edited, source_setting
from flows.line_file import paths
from tasks.contracts.errors import UserError
from tasks.contracts.outputs import refuse_foreign
from tasks.contracts.params.line import Params, load_params, parse_params
from tasks.lift.power import planned_detectable
from tasks.planning.choices import SIZES, Choice, Shares, choose, largest_size, shares
from tasks.planning.survey import Survey, survey
from tasks.planning.timing import measure, stage_seconds

MINUTES = 60  # that a plan may take; the image size is lowered until it does
_FORMER = Path(".ganlift/former")
_ERRORS = (0.05, 0.2)  # shares of wrong answers that a detectable lift is told for
_TOO_LARGE = 5.0  # points: a lift that is worth a GAN is rarely larger
_FEW_TEST = 10  # test images of a class


@dataclass(frozen=True)
class Plan:
    """What a run on a source will be.

    Attributes:
        seen: the source.
        choices: settings, with their reasons.
        parts: images of each class in each split.
        seconds: that each stage will take.
    """

    seen: Survey
    choices: Sequence[Choice]
    parts: Shares
    seconds: dict[str, float]

    @property
    def settings(self) -> list[str]:
        """The settings as ``SECTION.KEY=VALUE``."""
        return [f"{choice.key}={json.dumps(choice.value)}" for choice in self.choices]


def plan_for(source: Path, root: Path, wished: Sequence[str], console: Console) -> Plan:
    """Look at a source, choose settings and measure how long they will take.

    Args:
        source: the folder or file.
        root: of the project.
        wished: settings of the person, which win.
        console: says what is being done.

    Raises:
        UserError: the source cannot be used.
    """
    text = (root / "params.yaml").read_text(encoding="utf-8")
    written = source_setting(source, root)
    own = _own_settings(source)
    with console.status("looking at the images"):
        seen = survey(source, load_params(root / "params.yaml").ingest.group_pattern)
        if not seen.sample:
            raise UserError(
                str(source), "none of the images that were tried can be read", "Check the files"
            )
    with console.status("measuring how fast this machine is"):
        for size in [one for one in reversed(SIZES) if one <= largest_size(seen)]:
            side = f"the originals' shorter side is {seen.shorter_side} pixels in the median"
            choices = own or choose(seen, size, side)
            plan = [f"{choice.key}={json.dumps(choice.value)}" for choice in choices]
            params = parse_params(yaml.safe_load(edited(text, [*plan, *wished, written])))
            parts = shares(seen, params.ingest.val_share, params.ingest.test_share)
            speed = measure(params, len(seen.counts), seen.channels)
            seconds = stage_seconds(params, _cut(parts, params), speed, seen.seconds)
            if own or sum(seconds.values()) <= 60 * MINUTES:
                break
    if size < largest_size(seen) and not own:
        larger = f"{side}; {size} is the most that takes less than {MINUTES} minutes here"
        choices = [Choice("ingest.image_size", size, larger), *choices[1:]]
    return Plan(seen, choices, parts, seconds)


def _own_settings(source: Path) -> list[Choice]:
    """Return the settings that a file which names a built-in set brings along."""
    if not source.is_file() or source.suffix not in (".yaml", ".yml"):
        return []
    said: Any = yaml.safe_load(source.read_text(encoding="utf-8"))
    settings = said.get("settings", {}) if isinstance(said, dict) else {}
    return [Choice(key, value, "as the file says") for key, value in settings.items()]


def _cut(parts: Shares, params: Params) -> Shares:
    """Apply `ingest.per_class` to what is trained on."""
    most = params.ingest.per_class
    if most is None:
        return parts
    return Shares([min(count, most) for count in parts.train], parts.val, parts.test)


def show(plan: Plan, console: Console, *, hint: str | None) -> None:
    """Print a plan.

    Args:
        plan: to show.
        console: where to.
        hint: what to do with it, a command; None where it is being done.
    """
    seen, parts = plan.seen, plan.parts
    given = f", in {', '.join(seen.given)} as the source gives them" if seen.given else ""
    console.print(
        f"[bold]{escape(str(seen.source))}[/]: {seen.images:,} images of {len(seen.counts)} "
        f"classes{given}; {_side(seen)}"
    )
    for line in _facts(seen):
        console.print(f"  {line}")
    counts = Table("class", *("train", "val", "test"), title="Images, as expected")
    for column in counts.columns[1:]:
        column.justify = "right"
    for row, name in enumerate(seen.counts):
        if row >= 20 and row < len(seen.counts) - 1:
            if row == 20:
                counts.add_row(f"… {len(seen.counts) - 21} more", "", "", "")
            continue
        numbers = (parts.train[row], parts.val[row], parts.test[row])
        counts.add_row(escape(name), *(f"{number:,}" for number in numbers))
    console.print(counts)
    table = Table("setting", "value", "why", title="Settings")
    for choice in plan.choices:
        table.add_row(choice.key, json.dumps(choice.value), escape(choice.reason))
    console.print(table)
    times = Table("stage", "about", title="Time on this machine")
    times.columns[1].justify = "right"
    for stage, seconds in plan.seconds.items():
        times.add_row(stage, _minutes(seconds))
    if os.getloadavg()[0] > joblib.cpu_count():
        times.caption = "Other programs keep this machine busy: while they do, it takes longer."
    times.add_row("[bold]all[/]", f"[bold]{_minutes(sum(plan.seconds.values()))}[/]")
    console.print(times)
    for line in _power(plan):
        console.print(line)
    if hint is not None:
        console.print(f"\n{hint}", soft_wrap=True)


def _side(seen: Survey) -> str:
    low, high = seen.sides.min(axis=0), seen.sides.max(axis=0)
    kind = "grey" if seen.channels == 1 else "in colour"
    if (low == high).all():
        return f"{low[0]} x {low[1]} pixels, {kind}"
    return f"{low[0]} x {low[1]} to {high[0]} x {high[1]} pixels, {kind}"


def _facts(seen: Survey) -> list[str]:
    facts = []
    if seen.groups:
        facts.append(f"{seen.groups:,} groups, none of which will stand in two splits")
    if seen.unlabelled:
        facts.append(f"{seen.unlabelled:,} images without a label")
    if seen.passed_over:
        facts.append(f"{seen.passed_over:,} files that are no images will be passed over")
    return facts


def _power(plan: Plan) -> list[str]:
    """Say what lift could be found, and where the question cannot be answered."""
    few = [
        f"{name} ({count})"
        for name, count in zip(plan.seen.counts, plan.parts.test, strict=True)
        if count < _FEW_TEST
    ]
    lines = []
    found = {error: planned_detectable(plan.parts.test, error) for error in _ERRORS}
    told = " and ".join(
        f"{points:.1f} points if {1 - error:.0%} of answers are right"
        for error, points in found.items()
    )
    lines.append(f"Such a run would find a lift of about {told}.")
    if few:
        lines.append(
            f"[yellow]Too few test images to judge by[/] (fewer than {_FEW_TEST}): "
            f"{escape(', '.join(few[:5]))}{' and others' if len(few) > 5 else ''}. Collect more "
            "images of these classes, or leave them out."
        )
    if found[_ERRORS[0]] > _TOO_LARGE:
        needed = (found[_ERRORS[0]] / _TOO_LARGE) ** 2
        lines.append(
            "[yellow]This run cannot answer the question[/]: only a lift that is larger than most "
            f"would show. About {needed:.1f} times as many test images would do."
        )
    return lines


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def set_reports_aside(root: Path, former: str) -> Path | None:
    """Move the reports of another data set away, so that none lies beside the new ones.

    Only files that the pipeline wrote are moved. Call it in the project's root.

    Returns:
        where they are now, None if there were none.
    """
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    where = {f"${{path.{name}}}": path for name, path in paths(root / "dvc.yaml").items()}
    found = [
        (stage, where[name])
        for stage, block in stages.items()
        for kind in ("outs", "metrics", "plots")
        for out in block.get(kind, [])
        for name in out
        if where[name].parts[0] == "reports" and where[name].exists()
    ]
    mine = []
    for stage, path in found:
        try:
            refuse_foreign(path, stage)
        except UserError:
            continue  # somebody's own file: the stage will say so
        mine.append(path)
    if not mine:
        return None
    name = Path(former).stem or "data"
    free = (_FORMER / f"{name}-{number}" for number in range(1, 10_000))
    folder = next(place for place in free if not place.exists())
    for path in mine:
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, place)
    return folder

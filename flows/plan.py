"""``ganlift plan``: look at a data set, choose its settings, and say what a run would take."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.edit_params import check_source, edited, source_setting
from flows.presets import leaves
from tasks.contracts.params.line import Params, parse_params
from tasks.gan.model import device_of
from tasks.planning.choices import Choice, image_choices, lengths_for, training_choices
from tasks.planning.clock import StageTime, measured, reduced_gain, stage_times
from tasks.planning.looks import Look, look
from tasks.planning.mirror import mirrored
from tasks.planning.reach import FEW_TEST_IMAGES, LARGEST_USEFUL_PP, Reach, reach

DEFAULTS = Path(__file__).with_name("defaults.yaml")
_SPLITS = ("train", "val", "test")
_MOST_CLASSES = 12  # in the table
_LONG_SECONDS = 3600
_FEWER = 100  # training images of a class, of a shorter run
_WORTH = 0.7  # of the time, from which a run is no shorter one


@dataclass(frozen=True)
class Plan:
    """What was seen, and what follows from it.

    Attributes:
        look: the data.
        choices: settings and why, before anybody's own.
        settings: all of them as ``--set`` takes them, the defaults first, a person's own last.
        params: the result.
    """

    look: Look
    choices: Sequence[Choice]
    settings: tuple[str, ...]
    params: Params

    @property
    def reach(self) -> Reach:
        """Return what lift the run could find."""
        return reach(self.look.tested(self.params.ingest), self.params.report.level)


def default_settings() -> list[str]:
    """Return every setting as it is shipped."""
    values = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    return [f"{key}={json.dumps(value)}" for key, value in leaves(values, "")]


def default_source() -> str:
    """Return the source as it is shipped: the built-in digits."""
    source: str = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))["ingest"]["source"]
    return source


def settings_for(
    source: Path, root: Path, own: Sequence[str], text: str
) -> tuple[tuple[str, ...], dict[str, float]]:
    """Return the settings of a run on a new ``source``, and say which they are and why.

    It takes the plan, and the built-in digits the shipped settings; ``own`` come last and win. How
    long it will take and what it could find are said too.

    Args:
        source: a folder, or a file that names a built-in set.
        root: the project.
        own: of ``--preset`` and ``--set``.
        text: of ``params.yaml``.

    Returns:
        The settings, and the seconds that each stage is expected to take (of one fold, with folds),
        which nobody measures for the built-in digits.

    Raises:
        UserError: the source cannot be used.
    """
    named = source_setting(source, root)
    if yaml.safe_load(named.partition("=")[2]) == default_source():
        Console().print("The settings that ganlift ships for this data set are written again.")
        return (*default_settings(), *own, named), {}

    def make(more: Sequence[str]) -> Plan:
        return make_plan(source, root, (*own, *more), text)

    plan = make(())
    show_settings(plan, own)
    times = show_times(plan, make)
    show_reach(plan)
    folds = plan.params.ingest.folds or 1
    return plan.settings, {one.stage: one.seconds / folds for one in times}


def make_plan(source: Path, root: Path, own: Sequence[str], text: str) -> Plan:
    """Look at a source and choose the settings.

    Raises:
        UserError: the source cannot be used, or one of ``own`` is wrong.
    """
    check_source(source, root)
    seen = look(source)
    base = (*default_settings(), source_setting(source, root))
    shipped = parse_params(yaml.safe_load(edited(text, base)))
    gpu = device_of(shipped.train_gan).type == "cuda"
    first = image_choices(seen, gpu=gpu)
    cut = [*base, *(choice.setting for choice in first), *own]
    params = parse_params(yaml.safe_load(edited(text, cut)))
    images = seen.decoded(params.ingest, params.seed)
    second = training_choices(
        seen,
        seen.expected(params.ingest),
        params.ingest.image_size,
        mirrored(images),
        reduced_gain(images, params.retrain),
    )
    choices = [*first, *second]
    settings = (*base, *(choice.setting for choice in choices), *own)
    return Plan(seen, choices, settings, parse_params(yaml.safe_load(edited(text, settings))))


def present_plan(source: Path, root: Path, text: str) -> Plan:
    """Return the source with the settings that stand in ``params.yaml`` already."""
    check_source(source, root)
    return Plan(look(source), (), (), parse_params(yaml.safe_load(text)))


def show_plan(root: Path, source: Path | None, own: Sequence[str]) -> None:
    """Print the whole plan; nothing is written.

    Args:
        root: the project.
        source: None is the one of ``params.yaml``, with the settings that stand there.
        own: of ``--set``.

    Raises:
        UserError: the source cannot be used.
    """
    text = (root / "params.yaml").read_text(encoding="utf-8")
    there = Path(os.path.abspath(root / yaml.safe_load(text)["ingest"]["source"]))  # noqa: PTH100
    place = there if source is None else Path(os.path.abspath(source))  # noqa: PTH100

    def make(more: Sequence[str]) -> Plan:
        if place == there:
            return present_plan(place, root, edited(text, (*own, *more)))
        if place == root / default_source():
            return present_plan(place, root, edited(text, (*default_settings(), *own, *more)))
        return make_plan(place, root, (*own, *more), text)

    with Console().status("looking at the images"):
        plan = make(())
    show_look(plan)
    if plan.choices:
        show_settings(plan, own)
    else:
        Console().print("This data set has its settings; they stay as they are.\n")
    show_times(plan, make)
    show_reach(plan)


def show_look(plan: Plan) -> None:
    """Print what the source holds."""
    seen, console = plan.look, Console(highlight=False)
    splits = ", ".join(f"{name}/" for name in _SPLITS if name in seen.given)
    short = sorted(seen.sizes.min(axis=1))
    others, related = (sum(of.values()) for of in (seen.other_domain, seen.related))
    facts = [
        f"{seen.images} labelled images in {len(seen.counts)} classes"
        + (f", {seen.unlabelled} without a label" if seen.unlabelled else "")
        + (f", {others} labelled images of another domain" if others else "")
        + (f", {related} images of {len(seen.related)} related classes" if related else ""),
        f"splits: {splits} given" if splits else "splits: none given, so ganlift draws them",
        f"groups: {seen.groups}" if seen.groups else "groups: none named",
        f"shorter side: {short[0]} to {short[-1]} pixels, median {int(short[len(short) // 2])}",
    ]
    if seen.passed_over:
        facts.append(f"{seen.passed_over} files are no images of a class and are passed over")
    if seen.unreadable:
        tried = len(seen.sample) + seen.unreadable
        facts.append(f"{seen.unreadable} of the {tried} images tried could not be read")
    for fact in facts:
        console.print(fact)
    of = ", of each fold" if plan.params.ingest.folds else ""
    table = Table(title=f"Images expected of each class{of}", title_justify="left")
    table.add_column("class")
    for name in ("images", *_SPLITS):
        table.add_column(name, justify="right")
    expected = seen.expected(plan.params.ingest)
    rarest_first = sorted(seen.counts, key=lambda name: (seen.counts[name], name))
    for name in rarest_first[:_MOST_CLASSES]:
        row = (seen.counts[name], *(expected[split][name] for split in _SPLITS))
        table.add_row(escape(name), *map(str, row))
    console.print(table)
    if len(rarest_first) > _MOST_CLASSES:
        console.print(f"and {len(rarest_first) - _MOST_CLASSES} classes with more images")
    console.print()


def show_settings(plan: Plan, own: Sequence[str]) -> None:
    """Print the settings and why, those of a person as such."""
    mine = {setting.partition("=")[0].strip(): setting for setting in own}
    table = Table(title="Settings for this data set", title_justify="left")
    table.add_column("setting", overflow="fold")
    table.add_column("why")
    for choice in plan.choices:
        given = mine.get(choice.key)
        why = choice.why if given is None else "as you asked"
        table.add_row(escape(given or choice.setting), escape(why))
    console = Console(highlight=False)
    console.print(table)
    console.print("Every other setting is as shipped; --set and --preset win over the plan.\n")


def show_times(plan: Plan, make: Callable[[Sequence[str]], Plan]) -> list[StageTime]:
    """Measure a few steps, print the time of each stage and of all, and return them.

    Where it is long, fewer images and GANs are offered, and their time is told too.

    Args:
        plan: to tell about.
        make: the same plan with further settings.
    """
    params = plan.params
    with Console().status("measuring a few steps"):
        costs = measured(plan.look.decoded(params.ingest, params.seed), params)
    times, folds = stage_times(plan.look, params, costs), params.ingest.folds
    over = f", over {folds} folds" if folds else ""
    title = f"Time on this machine{over}, by a few measured steps"
    table = Table(title=title, title_justify="left")
    table.add_column("stage")
    table.add_column("about", justify="right")
    table.add_column("between", justify="right")
    for one in times:
        between = f"{told(one.least)} and {told(one.most)}" if one.least < one.most else ""
        table.add_row(one.stage, told(one.seconds), between)
    table.add_section()
    least, most = (sum(getattr(one, name) for one in times) for name in ("least", "most"))
    every = sum(one.seconds for one in times)
    table.add_row("all", told(every), f"{told(least)} and {told(most)}")
    console = Console(highlight=False)
    console.print(table)
    console.print(
        "This is without other work on the machine. retrain doubles its steps while "
        "real/val gains, so its time varies."
    )
    if every > _LONG_SECONDS:
        less = _less(plan)
        with Console().status("planning for less"):
            shorter = make(less)
        seconds = sum(one.seconds for one in stage_times(shorter.look, shorter.params, costs))
        if seconds < _WORTH * every:
            asked = " ".join(f"--set {shlex.quote(setting)}" for setting in less)
            console.print(
                f"A shorter run of about {told(seconds)}, which finds larger lifts only: {asked}"
            )
    console.print()
    return times


def _less(plan: Plan) -> list[str]:
    """Return the settings of a shorter run: fewer images and GANs, no folds.

    A plan that is made anew trains as long as so many images take; settings that stay as they are
    are told to.
    """
    params = plan.params
    less = [f"ingest.per_class={_FEWER}", "train_gan.seeds=[0, 1]"]
    less += ["ingest.folds=null"] if params.ingest.folds else []
    if not plan.choices:
        train = plan.look.expected(params.ingest)["train"].values()
        steps, most_steps = lengths_for(sum(min(_FEWER, number) for number in train))
        less += [f"retrain.steps={min(steps, params.retrain.steps)}"]
        less += [f"retrain.most_steps={min(most_steps, params.retrain.most_steps)}"]
    return less


def show_reach(plan: Plan) -> None:
    """Print what lift the run could find, and what would help where that is too little."""
    found, console = plan.reach, Console(highlight=False)
    console.print(
        f"At best such a run would find a lift of {found.easy:.1f} points where the classifier is "
        f"wrong on 4 % of the images, and of {found.hard:.1f} points where it is wrong on 25 %, in "
        "80 % of such studies (scaled from the built-in run; with few training images runs differ "
        "more, and it takes a larger lift)."
    )
    if found.answers:
        return
    why = []
    if found.fewest < FEW_TEST_IMAGES:
        why.append(f"the rarest class has {found.fewest} test images, fewer than {FEW_TEST_IMAGES}")
    if found.hard > LARGEST_USEFUL_PP:
        why.append(f"only a lift above {LARGEST_USEFUL_PP:.0f} points is sure to show")
    console.print(f"[bold yellow]This cannot answer your question[/]: {'; '.join(why)}.")
    times = max(found.times, FEW_TEST_IMAGES / max(1, found.fewest))
    more = f"What would: {times:.1f} times as many test images of every class"
    share = plan.params.ingest.test_share
    if "test" not in plan.look.given and share < 0.5 and not plan.params.ingest.folds:
        more += f"; or in part --set ingest.test_share={min(0.5, round(share * times, 2)):g}"
    console.print(f"{more}.")


def told(seconds: float) -> str:
    """Return a time as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"

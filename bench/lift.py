"""Does a GAN help where there is room for it? ``python -m bench.lift --help``.

A task is a folder of few labelled images, drawn from a large set, and the settings of a run. Each
has a project of its own, in which ``ganlift run`` does the rest, as it does for any user: what was
stopped goes on where it was. Recipes are found on images that were taken from the training folders
to test on; ``--final`` tests on the set's own test images, once for each recipe that is finished,
and docs/log.md counts how often that was.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image, ImageChops, ImageOps

from bench.datasets import ROOT
from bench.gan_tables import markdown
from bench.overhead import FLOW
from flows.child import child
from tasks.contracts.arms import ARMS
from tasks.contracts.errors import UserError
from tasks.data.sources import photographed
from tasks.lift.result import LiftResult

_PHOTOGRAPHS = "cifar10-jpg"  # under --images, with train and test
_SPARE = 1.5  # so many times the labelled images that are needed: ingest drops twins
_SCRATCH = ROOT.with_name(f"{ROOT.name}-bench")  # inside a project no other one can be made
_JUDGED = 500  # training images of each class to test on, at most half of what is left


def over_a_photograph(image: Image.Image, number: int, photographs: Path) -> Image.Image:
    """Return white on black as a difference to a photograph, which the number chooses.

    As MNIST-M is made (Ganin & Lempitsky 2015, arXiv:1409.7495, section 4.1).

    Raises:
        UserError: there is no photograph.
    """
    files = _photographs(photographs)
    with Image.open(files[number % len(files)]) as ground:
        return ImageChops.difference(
            ground.convert("RGB").resize(image.size, Image.Resampling.BOX), image.convert("RGB")
        )


@cache
def _photographs(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*/*.jpg"))
    if not files:
        raise UserError(str(folder), "no photographs", "Give the folder that holds them: --images")
    return files


LOOKS: Mapping[str, Callable[[Image.Image, int, Path], Image.Image]] = {
    "as it is": lambda image, number, photographs: image,
    "negative": lambda image, number, photographs: ImageOps.invert(image),
    "photographed": lambda image, number, photographs: photographed(image, number),
    "over a photograph": over_a_photograph,
}


@dataclass(frozen=True)
class Task:
    """A classification with few labelled images.

    Attributes:
        source: a folder under ``--images`` with ``train`` and ``test``, and in them the classes.
        train: labelled images of each class that are trained on.
        rare: classes of which only so many labelled images are there.
        times: so many times as many are there, which the ceiling is trained on.
        val: images of real/val of each class.
        unlabelled: images of each class whose labels are hidden.
        other_domain: labelled images of each class that stand beside them.
        related: classes that are not asked about, whose images stand beside instead.
        related_images: of each of them.
        look: of the images that are asked about, a key of `LOOKS`.
        other_look: of those of the other domain.
        settings: of the run, ``SECTION.KEY=VALUE``.
        preset: of the run.
    """

    source: str
    train: int
    rare: Mapping[str, int] = field(default_factory=dict)
    times: int = 2
    val: int = 30
    unlabelled: int = 0
    other_domain: int = 0
    related: tuple[str, ...] = ()
    related_images: int = 100
    look: str = "as it is"
    other_look: str = "as it is"
    settings: tuple[str, ...] = ()
    preset: str | None = None


_16PX = ("ingest.image_size=16",)
_TURNED = (*_16PX, "train_gan.total_kimg=48", "quality_filter.confidence_quantile=0")
_OTHERS = Task("mnist-png", 5, times=20, other_domain=100, settings=_TURNED, preset="translator")
_NEGATIVES = replace(
    _OTHERS,
    other_look="negative",
    settings=(*_TURNED, "train_gan.penalties.mode_seeking=0"),  # as measured (docs/log.md)
)
_LOOSE = "train_gan.unlabelled=pseudo_label+unconditional"
_RARE = Task(
    "mnist-png",
    50,
    rare={"1": 5, "8": 5},
    times=1,
    settings=(*_16PX, "retrain.fractions=[0.5]"),  # no more rare ones are there
    preset="rare",
)
_RELATED = Task(
    "mnist-png",
    5,
    times=20,
    related=("0", "1", "2", "3", "4"),
    settings=(  # as the plan has it
        *(*_TURNED, "merge.target_per_class=105"),
        *(f"train_gan.penalties.{term}=0.3" for term in ("r1", "r2")),
    ),
    preset="related",
)
_TAIL = (300, 180, 108, 65, 39, 23, 14, 8, 5)  # as in CIFAR-10-LT (Cui et al. 2019), at 500
TASKS = {
    "mnist-5": Task("mnist-png", 5, settings=_16PX, preset="few"),
    "mnist-20": Task("mnist-png", 20, settings=_16PX),
    "mnist-long-tail": replace(
        _RARE, train=500, rare={str(digit): images for digit, images in enumerate(_TAIL, 1)}
    ),
    "cifar-50": Task("cifar10-jpg", 50, times=5),
    "cifar-500": Task("cifar10-jpg", 500, times=1, settings=("retrain.fractions=[0.5]",)),
    "mnist-negatives": _NEGATIVES,
    "mnist-negatives-unlabelled": replace(
        _NEGATIVES, unlabelled=50, settings=(*_NEGATIVES.settings, _LOOSE)
    ),
    "mnist-photographed": replace(_OTHERS, look="photographed"),
    "mnist-rare-photographed": replace(_RARE, look="photographed"),
    "mnist-rare-over-photographs": replace(_RARE, look="over a photograph"),
    "mnist-related": _RELATED,
    "mnist-related-photographed": replace(_RELATED, look="photographed"),
    "mnist-over-photographs": replace(_OTHERS, train=20, times=5, look="over a photograph"),
}


def lay_out(task: Task, images: Path, folder: Path, draw: int, *, final: bool) -> None:
    """Write a task's images: no image stands twice, and those to test on are in no other part.

    Args:
        task: what to draw.
        images: holds ``task.source``.
        folder: to write, not there yet.
        draw: which images are drawn.
        final: test on the set's own test images.

    Raises:
        UserError: the source is missing, or has too few images.
    """
    source = images / task.source
    if not (source / "train").is_dir():
        raise UserError(str(source), "no such images", "Give the folder that holds it: --images")
    for place in sorted((source / "train").iterdir()):
        judged = sorted((source / "test" / place.name).iterdir()) if final else None
        for part, files in _parts(task, place, draw):
            if part == "test":
                files = judged or files
            own = folder / part / ("" if part == "unlabelled" else place.name)
            own.mkdir(parents=True, exist_ok=True)
            for file in files:
                look = task.other_look if part == "other_domain" else task.look
                grounds = images / _PHOTOGRAPHS / file.parents[1].name  # of train, or of test
                name = f"{place.name}-{file.stem}.png"
                with Image.open(file) as image:
                    LOOKS[look](image, zlib.crc32(name.encode()), grounds).save(own / name)


def _parts(task: Task, place: Path, draw: int) -> Iterator[tuple[str, Sequence[Path]]]:
    """Yield each part's name and the files of one class in it."""
    files = sorted(place.iterdir())
    order = np.random.default_rng([draw, len(files)]).permutation(len(files))
    if place.name in task.related:
        yield "related", [files[row] for row in order[: task.related_images]]
        return
    counts = {
        "train": task.rare.get(place.name) or math.ceil(_SPARE * task.train * task.times),
        "val": task.val,
        "unlabelled": task.unlabelled,
        "other_domain": task.other_domain,
    }
    used = sum(counts.values())
    counts["test"] = min(_JUDGED, (len(files) - used) // 2)
    if counts["test"] < 1:
        raise UserError(str(place), f"has {len(files)} images, too few", f"{used + 2} are needed")
    start = 0
    for part, count in counts.items():
        if count:
            yield part, [files[row] for row in order[start : start + count]]
        start += count


def project_of(name: str, scratch: Path, draw: int, *, final: bool, own: Sequence[str]) -> Path:
    """Return the folder of a task's project."""
    told = "".join(f" {setting.replace('/', '_')}" for setting in own)
    return scratch / "lift" / f"{name} {'final' if final else 'dev'} {draw}{told}"


def run(
    name: str, images: Path, project: Path, draw: int, *, final: bool, own: Sequence[str]
) -> LiftResult:
    """Run the line on a task; return what it found, which a project that was run has already."""
    task = TASKS[name]
    facts = hashlib.sha256(f"{task} {_SPARE} {_JUDGED}".encode()).hexdigest()[:8]
    source = project.parent / "images" / f"{name}-{'final' if final else 'dev'}-{draw}-{facts}"
    if not source.is_dir():
        unfinished = source.with_name(f"{source.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)  # of a bench that was stopped
        lay_out(task, images, unfinished, draw, final=final)
        unfinished.rename(source)
    if not project.is_dir():
        _ganlift(ROOT, "init", str(project))
    few = (f"ingest.per_class={task.train}", f"retrain.fractions=[{task.times}]")
    settings = [part for one in (*few, *task.settings, *own) for part in ("--set", one)]
    preset = ["--preset", task.preset] if task.preset else []
    _ganlift(project, "run", "--source", str(source.resolve()), *preset, *settings)
    return LiftResult.load(project / "reports" / "lift.json")


def _ganlift(folder: Path, *arguments: str) -> None:
    with child((*FLOW, *arguments), sys.stdout.fileno(), folder) as process:
        if process.wait():
            raise UserError(
                f"ganlift {arguments[0]} in {folder}", "failed, as it says above", "Then run again"
            )


def table(found: dict[str, LiftResult]) -> str:
    """Return lifts and the mean of every arm, in percent, a row for each run.

    The ceiling is the lift of so many more real images as the task has.
    """
    arms = [arm for arm in ARMS if any(arm in of.arms for of in found.values())]
    lines = []
    for name, of in found.items():
        lift = of.lift_pp
        more = of.more_real
        lines.append(
            [
                name,
                f"{of.counts.test:,}",
                of.verdict,
                of.baseline,
                f"{lift.mean:+.1f} [{lift.ci_low:+.1f}, {lift.ci_high:+.1f}]",
                "–" if more is None else f"{more.lift_pp.mean:+.1f}",
                *(f"{100 * of.primary(arm).mean:.1f}" if arm in of.arms else "–" for arm in arms),
            ]
        )
    head = ["task", "test images", "verdict", "baseline", "lift, pp", "ceiling, pp"]
    return markdown([*head, *arms], lines)


def main(
    tasks: Annotated[str, typer.Option(help=f"Of {', '.join(TASKS)}.")] = "mnist-negatives",
    draws: Annotated[int, typer.Option(help="Draws of the labelled images.")] = 1,
    images: Annotated[Path, typer.Option(help="Holds mnist-png and cifar10-jpg.")] = ROOT.parent
    / "images",
    scratch: Annotated[
        Path, typer.Option(help="Projects are kept here, outside of this one.")
    ] = _SCRATCH,
    final: Annotated[bool, typer.Option("--final", help="Test on the set's test images.")] = False,
    own: Annotated[list[str] | None, typer.Option("--set", help="SECTION.KEY=VALUE.")] = None,
) -> None:
    """Run the line on each task and draw; print a row for each."""
    settings = own or []
    found = {}
    for name in tasks.split(","):
        for draw in range(draws):
            project = project_of(name, scratch, draw, final=final, own=settings)
            found[project.name] = run(name, images, project, draw, final=final, own=settings)
    print(table(found))


if __name__ == "__main__":
    typer.run(main)

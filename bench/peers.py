"""How good are GANs by CPU minute? ``python -m bench.peers --help``; see bench/README.md.

Ours, PyTorch's DCGAN example and lightweight-gan get the same CPU seconds of one thread and are
judged as `bench.gan_quality` judges. What each has made at each mark is kept, so that another judge
asks for no training.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer

from bench.contestants import DEFAULT
from bench.datasets import ROOT, TASKS, load_cut
from bench.gan_jobs import CODE, JUDGE_STEPS, JUDGED, Job, accuracies, judge_of
from bench.gan_tables import failures, markdown, spread
from bench.ledger import Ledger, Row, code_digest, work_off
from bench.peers_training import CONTESTANTS, Look, Run
from tasks.classifier.features import train_judge
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images, ImageSet, Labels, image_id
from tasks.contracts.params.line import load_params
from tasks.quality.evaluation import Evaluator

_CIFAR = "cifar10-32px"
_MINUTES = {"digits-20": 2.0, _CIFAR: 8.0}
_USUAL = [DEFAULT, "plain", "plain-10x", "lightweight-small", "lightweight-small-classes"]
_HEAD = ["contestant", "seeds", "CPU minutes", "images shown", "KID", "coverage"]
_SYNTHETIC_ONLY = "synthetic only, %"


@dataclass(frozen=True)
class PeerJob:
    """One contestant of one seed on one task: trained unless its images are kept, then judged.

    Attributes:
        run: the training.
        judged: how `bench.gan_jobs` judges; its ``gan`` is not read.
    """

    run: Run
    judged: Job

    @property
    def key(self) -> str:
        """Name of all that decides the result but the judge's code."""
        return hashlib.sha256(f"{self.run.key} {self.judged.key}".encode()).hexdigest()[:16]

    @property
    def names(self) -> Row:
        """Task, contestant and seed, as tables call them."""
        return {"task": self.run.task, "contestant": self.run.contestant, "seed": self.run.seed}

    def do(self) -> Row:
        """Train and judge on one thread.

        Returns:
            ``machine``, what trained it; ``path``, for each look its ``mark`` and CPU ``seconds``,
            ``images`` shown, ``kid``, ``coverage`` and ``synthetic``, balanced accuracies on dev
            in 0..1; ``failed`` where it could not be trained.
        """
        torch.set_num_threads(1)
        place = (self.run.task, self.run.params, self.judged.images, self.judged.scratch)
        cut = load_cut(*place)
        self.run.train(cut)
        kept = self.run.looks()
        judge = judge_of(*place)
        describe = (judge.features, judge.probabilities)
        evaluate = Evaluator(*describe, cut.train, cut.val, per_class=JUDGED)
        path = []
        for look in kept.looks:
            asked, pool = self._halves(look, cut.train)
            overall = evaluate(asked.__getitem__).overall
            row = {"mark": look.mark, "seconds": look.seconds, "images": look.images}
            row |= {name: overall[name] for name in ("kid", "coverage")}
            path.append(row | {"synthetic": accuracies(self.judged, cut, pool, augment=False)})
        failed = {"failed": kept.failed} if kept.failed else {}
        return {"machine": kept.machine, "path": path, **failed}

    def _halves(self, look: Look, train: ImageSet) -> tuple[_Asked, ImageSet]:
        """Split what was made into the evaluation's images and the classifier's.

        Images of a contestant that knows no classes stand as they came in the evaluation; for the
        classifier, another one that was trained on real/train says what they show.
        """
        made, labels, names = look.made(), self.run.labels(train), train.class_names
        places = pd.Series(labels).groupby(labels).cumcount().to_numpy()
        first = places < JUDGED
        asked, rest, told = _Asked(made[first]), made[~first], labels[~first]
        if not CONTESTANTS[self.run.contestant].conditional:
            said = train_judge(train, JUDGE_STEPS, seed=1).probabilities(rest)
            told = said.argmax(axis=1).astype(np.int64)
        return asked, _image_set(rest, told, names)


@dataclass(frozen=True)
class _Asked:
    """Images that stand in the order in which an `Evaluator` asks for their labels."""

    images: Images

    def __getitem__(self, labels: Labels) -> Images:
        if len(labels) != len(self.images):
            raise ValueError(f"{len(labels)} images asked for, {len(self.images)} made")
        return self.images


def _image_set(images: Images, labels: Labels, names: tuple[str, ...]) -> ImageSet:
    ids = [image_id(image) for image in images]
    columns = {"image_id": ids, "label": labels, "class_name": [names[label] for label in labels]}
    rest = {"origin": "synthetic", "source": "bench", "group": ids}
    return ImageSet(images, pd.DataFrame(columns | rest))


def curve_table(rows: Sequence[Row]) -> str:
    """One line a contestant and mark of one task, means ± standard deviation over seeds."""
    lines = []
    for (name, _), looks in _by_mark(rows).items():
        cells = [
            spread([look["seconds"] / 60 for look in looks], 2),
            spread([look["images"] for look in looks], 0),
            spread([look["kid"] for look in looks], 4),
            spread([look["coverage"] for look in looks], 2),
            spread([100 * statistics.mean(look["synthetic"]) for look in looks], 1),
        ]
        lines.append([name, str(len(looks)), *cells])
    return markdown([*_HEAD, _SYNTHETIC_ONLY], lines)


def draw(rows: Sequence[Row], task: str, file: Path) -> None:
    """Draw KID and synthetic-only accuracy by CPU minute, the mean of the seeds a line, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    curves: dict[str, list[tuple[float, float, float]]] = {}
    for (name, _), looks in _by_mark(rows).items():
        point = (
            statistics.mean(look["seconds"] / 60 for look in looks),
            statistics.mean(look["kid"] for look in looks),
            statistics.mean(100 * statistics.mean(look["synthetic"]) for look in looks),
        )
        curves.setdefault(name, []).append(point)
    for name, points in curves.items():
        minutes, *figures = zip(*sorted(points), strict=True)
        for panel, values in zip(panels, figures, strict=True):
            panel.plot(minutes, values, marker="o", label=name)
    marks = sorted({mark for _, mark in _by_mark(rows)})
    for panel, title in zip(panels, ("KID", _SYNTHETIC_ONLY), strict=True):
        panel.set(xscale="log", xlabel="CPU minutes of training", ylabel=title, title=task)
        panel.set_xticks(marks, [f"{mark:g}" for mark in marks])
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.grid(alpha=0.3)
    panels[0].set_yscale("log", nonpositive="clip")
    panels[1].legend(fontsize="small")
    figure.savefig(file, dpi=120, metadata={"Software": None})


def _by_mark(rows: Sequence[Row]) -> dict[tuple[str, float], list[Row]]:
    found: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        for look in row["path"]:
            found.setdefault((row["contestant"], look["mark"]), []).append(look)
    order = list(dict.fromkeys(row["contestant"] for row in rows))
    return {key: found[key] for key in sorted(found, key=lambda key: (order.index(key[0]), key[1]))}


def main(
    tasks: Annotated[str, typer.Option(help=f"Of {', '.join(TASKS)}.")] = ",".join(_MINUTES),
    gans: Annotated[str, typer.Option(help=f"Of {', '.join(CONTESTANTS)}.")] = ",".join(_USUAL),
    seeds: Annotated[int, typer.Option(help="GANs of each kind on each task.")] = 2,
    classifiers: Annotated[int, typer.Option(help="Classifiers trained on each set.")] = 2,
    minutes: Annotated[
        float | None, typer.Option(help="CPU minutes of each; 2 below 32 px, else 8.")
    ] = None,
    images: Annotated[Path, typer.Option(help="Holds cifar10-jpg.")] = ROOT.parent / "images",
    scratch: Annotated[Path, typer.Option(help="Results, images and pictures are kept here.")] = (
        ROOT / ".ganlift" / "bench"
    ),
    peer_python: Annotated[
        Path | None, typer.Option(help="Python of lightweight-gan's environment.")
    ] = None,
    print_only: Annotated[bool, typer.Option("--print", help="Tables of what is done.")] = False,
) -> None:
    """Train and judge what is not done yet, one after another; print a table a task, draw it."""
    for name, known in [(n, TASKS) for n in tasks.split(",")] + [
        (n, CONTESTANTS) for n in gans.split(",")
    ]:
        if name not in known:
            raise typer.BadParameter(f"no {name!r}; there are {', '.join(known)}")
    params = load_params(ROOT / "params.yaml")
    # a seed of all contestants and tasks before the next seed
    jobs = [
        PeerJob(
            Run(task, gan, seed, minutes or _MINUTES.get(task, 2.0), params, scratch, peer_python),
            Job(task, gan, None, seed, classifiers, params, images, scratch, 1),
        )
        for seed in range(seeds)
        for task in tasks.split(",")
        for gan in gans.split(",")
    ]
    ledger = Ledger(scratch / "peers.jsonl", code_digest(*CODE))
    missing = ledger.missing(jobs, fresh=False)
    if not print_only and missing:
        work_off(missing, ledger, 1)
    rows = ledger.find(jobs)
    machines = sorted({row["machine"] for row in rows})
    print(f"{len(rows)} of {len(jobs)} jobs done, on {'; '.join(machines) or 'no machine'}.")
    for task in dict.fromkeys(row["task"] for row in rows):
        mine = [row for row in rows if row["task"] == task]
        picture = scratch / f"peers-{task}.png"
        told = [task, curve_table(mine), failures(mine)]
        if any(row["path"] for row in mine):
            draw(mine, task, picture)
            told.append(f"Drawn: {picture}")
        print("", *filter(None, told), sep="\n\n")


if __name__ == "__main__":
    try:
        typer.run(main)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)

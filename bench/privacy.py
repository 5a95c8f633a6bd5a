"""What does a guarantee cost, and what do attacks find? ``python -m bench.privacy --help``.

``cost`` trains the private recipe without a guarantee and at several ε, and tells of each what its
images are worth and how well members are told from others. ``lira`` is the stronger attack, which
trains GANs of its own on halves of the images: how much do the attacks of every run miss?
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import matplotlib as mpl
import numpy as np
import torch
import typer
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from bench.contestants import contestant, settings
from bench.datasets import ROOT, Cut, load_cut
from bench.gan_jobs import CODE, Job, accuracies, run_job, train
from bench.gan_tables import failures, markdown, spread
from bench.ledger import Ledger, Row, code_digest, work_off
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.line import load_params
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.contracts.privacy import FALSE_POSITIVES, Guarantee, most_true_positives
from tasks.gan.model import Gan
from tasks.gan.sampling import discriminator_logits
from tasks.quality.membership import Suspects, by_nearest, standardised

_ENDLESS = "∞"
_ATTACKED = 500  # synthetic images of each class that a stranger holds, at most
_SEEDS_APART = 1000  # of shadow GANs from those of others

app = typer.Typer(add_completion=False, help=__doc__, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Private(Job):
    """A GAN with or without a guarantee: what its images are worth, and what attacks find."""

    def do(self) -> Row:
        """Train it, train classifiers on its images and on real ones, and attack it."""

        def beside(gan: Gan, cut: Cut, pool: ImageSet) -> Row:
            place = pool.manifest.groupby("label").cumcount().to_numpy()
            held = pool.take(np.flatnonzero(place < _ATTACKED))
            real = accuracies(self, cut, cut.train, augment=True)
            return {"real": real, "attacks": attacks(gan, cut, held, self.seed)}

        return run_job(self, beside)


def attacks(gan: Gan, cut: Cut, pool: ImageSet, seed: int) -> dict[str, Any]:
    """Return what the attacks of every run reach: train against val."""
    suspects = Suspects.of(cut.train, cut.val)
    discriminator = gan.discriminator.eval()
    logits, made = (discriminator_logits(discriminator, part) for part in (suspects.images, pool))
    scores = {
        "nearest": by_nearest(suspects.images, pool),
        "discriminator": standardised(logits, suspects.images.labels, made, pool.labels),
    }
    return {name: suspects.told_by(score, seed) for name, score in scores.items()}


@dataclass(frozen=True)
class Shadow(Job):
    """A GAN on a random half of the images, and what its discriminator says of all of them."""

    def do(self) -> Row:
        """Train it; return which rows it saw, and the logits of every row."""
        torch.set_num_threads(1)
        assert self.gan is not None
        cut = load_cut(self.task, self.params, self.images, self.scratch)
        seen = np.random.default_rng([self.seed, 7]).random(len(cut.train)) < 0.5
        half = Cut(cut.train.take(np.flatnonzero(seen)), cut.cut, cut.val)
        gan, _ = train(self, self.gan, half)
        logits = discriminator_logits(gan.discriminator.eval(), cut.train)
        return {
            "task": self.task,
            "seed": self.seed,
            "seen": seen.tolist(),
            "logits": logits.tolist(),
        }


def likelihood_ratios(seen: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return LiRA's score of every image for every GAN, the others being its shadows.

    Carlini et al. 2022 (arXiv:2112.03570), algorithm 1, with one variance for all images, which
    few shadows ask for (section VI.B).

    Args:
        seen: whether a GAN was trained on an image, ``[G, N]``.
        logits: its discriminator's, ``[G, N]``; each GAN's are brought to one scale first.

    Returns:
        log-likelihood ratios ``[G, N]``; not a number where no shadow has, or none lacks, it.
    """
    scaled = (logits - logits.mean(1, keepdims=True)) / logits.std(1, keepdims=True)
    result = np.full(logits.shape, math.nan)
    for target in range(len(seen)):
        others = np.arange(len(seen)) != target
        theirs, had = scaled[others], seen[others]
        enough = (had.sum(0) > 0) & ((~had).sum(0) > 0)
        with np.errstate(invalid="ignore"):
            means = [np.where(of, theirs, 0).sum(0) / of.sum(0) for of in (had, ~had)]
        spreads = [
            np.sqrt(np.square(theirs - mean)[of & enough].mean())
            for of, mean in zip((had, ~had), means, strict=True)
        ]
        inside, outside = (
            norm.logpdf(scaled[target], mean, spread)
            for mean, spread in zip(means, spreads, strict=True)
        )
        result[target, enough] = (inside - outside)[enough]
    return result


def recipe(
    base: TrainGanParams, epsilon: float | None, delta: float, own: Sequence[str]
) -> TrainGanParams:
    """Return the private recipe with so much budget, and one's own ``KEY=VALUE`` on top."""
    overrides: dict[str, Any] = contestant("private") | {
        "privacy.epsilon": epsilon,
        "privacy.delta": delta,
    }
    for setting in own:
        key, _, value = setting.partition("=")
        overrides[key] = yaml.safe_load(value)
    found = settings(base, overrides, kimg=overrides["total_kimg"])
    return TrainGanParams(**found.model_dump() | {"batch_size": overrides["batch_size"]})


class _Place(NamedTuple):
    """Where a bench works, and how many jobs at once."""

    images: Path
    scratch: Path
    jobs: int


@app.callback()
def _place(
    context: typer.Context,
    images: Annotated[Path, typer.Option(help="Holds mnist-png.")] = ROOT.parent / "images",
    scratch: Annotated[Path, typer.Option(help="Results are kept here.")] = (
        ROOT / ".ganlift" / "bench"
    ),
    jobs: Annotated[int, typer.Option(help="Processes, one thread each.")] = 2,
) -> None:
    context.obj = _Place(images, scratch, jobs)


@app.command()
def cost(
    context: typer.Context,
    tasks: Annotated[str, typer.Option(help="Of bench.datasets.")] = "mnist-1000",
    epsilons: Annotated[str, typer.Option(help=f"Budgets; {_ENDLESS} for none.")] = (
        f"{_ENDLESS},50,10,3,1"
    ),
    delta: Annotated[float, typer.Option(help="Of each.")] = 1e-5,
    seeds: Annotated[int, typer.Option(help="GANs of each.")] = 1,
    classifiers: Annotated[int, typer.Option(help="Classifiers on each set.")] = 2,
    steps: Annotated[int, typer.Option(help="Of each classifier.")] = 800,
    own: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of train_gan.")] = None,
) -> None:
    """Print what each ε costs, and draw it: ``.ganlift/bench/privacy.png``."""
    place: _Place = context.obj
    params = load_params(ROOT / "params.yaml")
    long = params.retrain.model_copy(update={"steps": steps})
    params = replace(params, retrain=long)
    wanted = [
        Private(
            task,
            epsilon,
            recipe(
                params.train_gan, None if epsilon == _ENDLESS else float(epsilon), delta, own or ()
            ),
            seed,
            classifiers,
            params,
            place.images,
            place.scratch,
            looks=4,
        )
        for task in tasks.split(",")
        for epsilon in epsilons.split(",")
        for seed in range(seeds)
    ]
    rows = _done(wanted, place, "privacy")
    print(*filter(None, (_table(rows), failures(rows))), sep="\n\n")
    _draw([row for row in rows if "failed" not in row], place.scratch / "privacy.png")


@app.command()
def lira(
    context: typer.Context,
    task: Annotated[str, typer.Option(help="Of bench.datasets.")] = "digits-20",
    shadows: Annotated[int, typer.Option(min=4, help="GANs, each a shadow of the others.")] = 8,
    epsilon: Annotated[float | None, typer.Option(help="With a guarantee.")] = None,
    own: Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE of train_gan.")] = None,
) -> None:
    """Attack GANs on halves of the images by the likelihood ratio, and by the logit alone."""
    place: _Place = context.obj
    params = load_params(ROOT / "params.yaml")
    gan = (
        params.train_gan if epsilon is None else recipe(params.train_gan, epsilon, 1e-5, own or ())
    )
    where = (params, place.images, place.scratch)
    wanted = [
        Shadow(task, "shadow", gan, _SEEDS_APART + one, 0, *where, looks=1)
        for one in range(shadows)
    ]
    rows = _done(wanted, place, "lira")
    seen, logits = (np.array([row[name] for row in rows]) for name in ("seen", "logits"))
    train_set = load_cut(task, *where).train
    lines = []
    for name, scores in (("logit", logits), ("likelihood ratio", likelihood_ratios(seen, logits))):
        told = [
            Suspects(train_set, mine).told_by(score, 0)
            for mine, score in zip(seen, scores, strict=True)
        ]
        found = [one for one in told if one is not None]
        areas, rates = (
            [one[figure]["value"] for one in found if one[figure]] for figure in ("auc", "tpr")
        )
        lines.append([name, spread(areas, 2), spread([100 * rate for rate in rates], 1)])
    print(markdown([f"{task}, {shadows} GANs", "AUC", "TPR at 1 % FPR, %"], lines))


def _done(jobs: Sequence[Job], place: _Place, name: str) -> list[Row]:
    ledger = Ledger(place.scratch / f"{name}.jsonl", code_digest(*CODE, "bench/privacy.py"))
    work_off(ledger.missing(jobs, fresh=False), ledger, place.jobs)
    return ledger.find(jobs)


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the GANs of each task and ε, without those that could not be trained."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if "failed" not in row:
            found.setdefault((row["task"], row["contestant"]), []).append(row)
    return list(found.values())


def _table(rows: Sequence[Row]) -> str:
    lines = []
    for gans in _groups(rows):
        first = gans[0]
        promised = Guarantee(**first["guarantee"]) if "guarantee" in first else None
        allowed = "–"
        if promised is not None:
            most = most_true_positives(promised.epsilon, promised.delta, FALSE_POSITIVES)
            allowed = f"{100 * most:.1f}"
        alone, real, both = (
            [100 * statistics.mean(row[name]) for row in gans]
            for name in ("synthetic", "real", "real_synthetic")
        )
        lifts = [new - old for old, new in zip(real, both, strict=True)]
        attacked = {name: [row["attacks"][name] for row in gans] for name in first["attacks"]}
        lines.append(
            [
                first["task"],
                first["contestant"],
                str(len(gans)),
                "–" if promised is None else f"{promised.noise_multiplier:.2f}",
                spread(alone, 1),
                spread(real, 1),
                spread(lifts, 1, sign=True),
                *(
                    spread([row["final"][name] for row in gans], digits)
                    for name, digits in (("kid", 3), ("coverage", 2))
                ),
                *(_of(attacked[attack], "auc", 1) for attack in ("nearest", "discriminator")),
                *(_of(attacked[attack], "tpr", 100) for attack in ("nearest", "discriminator")),
                allowed,
                spread([row["seconds"] / 60 for row in gans], 0),
            ]
        )
    head = ["task", "ε", "GANs", "noise", "synthetic only, %", "real, %", "lift, pp", "KID"]
    head += ["coverage", "AUC nearest", "AUC discriminator", "TPR nearest, %"]
    return markdown([*head, "TPR discriminator, %", "TPR allowed, %", "minutes"], lines)


def _of(found: Sequence[dict[str, Any] | None], figure: str, times: int) -> str:
    """Return a figure of attacks on several GANs: value and ends of the interval, as means."""
    told = [one[figure] for one in found if one is not None and one[figure] is not None]
    if not told:
        return "–"
    value, low, high = (
        times * statistics.mean(one[end] for one in told) for end in ("value", "ci_low", "ci_high")
    )
    digits = 2 if times == 1 else 1
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _draw(rows: Sequence[Row], path: Path) -> None:
    """Draw what images are worth and what the attacks find, by ε: means, and each GAN."""
    groups = _groups(rows)
    names = list(dict.fromkeys(gans[0]["contestant"] for gans in groups))
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        worth, told = figure.subplots(1, 2)
        for task in dict.fromkeys(gans[0]["task"] for gans in groups):
            mine = [gans for gans in groups if gans[0]["task"] == task]
            places = [names.index(gans[0]["contestant"]) for gans in mine]
            alone = [[100 * statistics.mean(row["synthetic"]) for row in gans] for gans in mine]
            _points(worth, places, alone, "o-", task)
            for attack, line in (("nearest", "o-"), ("discriminator", "s--")):
                found = [[row["attacks"][attack] for row in gans] for gans in mine]
                areas = [[one["auc"]["value"] for one in of if one] for of in found]
                _points(told, places, areas, line, f"{task}, {attack}")
        worth.set(ylabel="accuracy from synthetic images alone, %", ylim=(0, 100))
        told.set(ylabel="AUC of attacks (chance is 0.5)", ylim=(0.4, 1.0))
        for axes in (worth, told):
            axes.set(xlabel="ε", xticks=range(len(names)), xticklabels=names)
            axes.legend(fontsize=7)
        figure.savefig(path, dpi=120)


def _points(
    axes: Axes, places: Sequence[int], of_each: Sequence[Sequence[float]], line: str, name: str
) -> None:
    means = [statistics.mean(values) if values else math.nan for values in of_each]
    (drawn,) = axes.plot(places, means, line, label=name)
    for place, values in zip(places, of_each, strict=True):
        axes.plot([place] * len(values), values, ".", alpha=0.5, color=drawn.get_color())


if __name__ == "__main__":
    app()

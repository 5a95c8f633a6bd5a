"""How recipe and steps were settled on real/val: a table and a picture of what was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from tasks.answer.drawing import BLACK, LINES, MARKERS, picture
from tasks.lift.parts import Classifier, SettlingRow


@dataclass(frozen=True)
class Tried:
    """What was tried, a cell for each recipe and number of steps.

    Attributes:
        steps: of the columns, rising.
        cells: by recipe in the order tried, then by steps: of several learning rates and weight
            decays the chosen one, else the best on real/val.
        several_rates: more than one learning rate or weight decay was tried.
    """

    steps: tuple[int, ...]
    cells: Mapping[str, Mapping[int, SettlingRow]]
    several_rates: bool


def tried(classifier: Classifier) -> Tried:
    """Return the rows of the settling as recipe x steps."""
    cells: dict[str, dict[int, SettlingRow]] = {}
    for row in classifier.settling:
        of_recipe = cells.setdefault(row.recipe, {})
        of_recipe[row.steps] = max(of_recipe.get(row.steps, row), row, key=_rank)
    return Tried(
        tuple(sorted({row.steps for row in classifier.settling})),
        cells,
        len({(row.learning_rate, row.weight_decay) for row in classifier.settling}) > 1,
    )


def settling_table(classifier: Classifier) -> pd.DataFrame:
    """Return everything that was tried, a row each in that order; only a header without any."""
    rows = [row.model_dump() for row in classifier.settling]
    return pd.DataFrame(rows, columns=list(SettlingRow.model_fields))


def draw_settling(classifier: Classifier, path: Path) -> None:
    """Draw balanced accuracy on real/val by steps, a line a recipe; bars are standard errors.

    Trainings that diverged have no point.

    Args:
        classifier: with the rows of its settling, at least one.
        path: PNG to write.
    """
    found = tried(classifier)
    with picture(path, 6.4, 4.2) as figure:
        axes = figure.subplots()
        axes.set_xscale("log", base=2)
        for number, (recipe, cells) in enumerate(found.cells.items()):
            # side by side: bars of recipes that do alike would hide one another
            aside = 2.0 ** (0.05 * (number - (len(found.cells) - 1) / 2))
            rows = [cells[steps] for steps in sorted(cells)]
            steps = aside * np.array([row.steps for row in rows], np.float64)
            means, errors = (
                100.0
                * np.array(
                    [(row.val_balanced_accuracy, row.standard_error) for row in rows], np.float64
                )
                .reshape(-1, 2)
                .T
            )
            axes.errorbar(
                steps,
                means,
                yerr=np.nan_to_num(errors),
                color=LINES[number % len(LINES)],
                marker=MARKERS[number % len(MARKERS)],
                markersize=7,
                markeredgecolor="white",
                linewidth=1.4,
                elinewidth=1.8,
                label=recipe,
            )
            for row, place, mean in zip(rows, steps, means, strict=True):
                if row.chosen and row.val_balanced_accuracy is not None:
                    _mark(axes, place, mean)
        axes.xaxis.set_major_locator(FixedLocator(list(found.steps)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(found.steps, [f"{steps:,}" for steps in found.steps])
        axes.set_xlim(found.steps[0] / 1.3, found.steps[-1] * 1.3)
        axes.set_xlabel("training steps (logarithmic)")
        axes.set_ylabel("%")
        axes.set_title("Balanced accuracy on real/val by steps")
        figure.legend(loc="outside lower left", fontsize=9, handlelength=1.6, ncols=5)


def _rank(row: SettlingRow) -> tuple[bool, float]:
    value = row.val_balanced_accuracy
    return row.chosen, -np.inf if value is None else value


def _mark(axes: Axes, steps: float, mean: float) -> None:
    axes.scatter([steps], [mean], s=220, facecolors="none", edgecolors=BLACK, linewidths=1.6)
    axes.annotate(
        "chosen",
        (steps, mean),
        xytext=(13, -13),
        textcoords="offset points",
        ha="left",
        fontsize=9,
        fontweight="bold",
        color=BLACK,
    )

"""Which classes are taken for which, and the test images on which the two arms differ."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from io import BytesIO
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from tasks.answer.drawing import drawable, picture, spread_out
from tasks.contracts.image_set import ImageSet
from tasks.data.pictures import png_base64, to_picture
from tasks.lift.metrics import Floats, Labels

MOST_CLASSES = 30  # a side of the picture
_MOST_CONFUSIONS = 12  # rows of the table
_MOST_FLIPS = 16  # images either way
_DRAWN_FLIPS = 8  # of those, in the picture
_CAPTION = 10  # letters of a class name above an image
_NUMBERS = 12  # up to so many classes each cell has its number


@dataclass(frozen=True)
class Confusion:
    """How often images of one class are taken for another, as shares 0 to 1 in either arm."""

    true: str
    taken_for: str
    baseline: float
    treatment: float


@dataclass(frozen=True)
class Flip:
    """A test image that most runs of one arm get right and most runs of the other get wrong.

    Attributes:
        png: in base64.
        true: its class.
        baseline, treatment: what most runs of each arm said.
    """

    png: str
    true: str
    baseline: str
    treatment: str


@dataclass(frozen=True)
class Mistakes:
    """What the page tells of single answers.

    Attributes:
        confusions: the most frequent ones of either arm.
        mended: images right with the treatment alone, `broken` with the baseline alone; a few.
        mended_count, broken_count: of all.
    """

    confusions: tuple[Confusion, ...]
    mended: tuple[Flip, ...]
    broken: tuple[Flip, ...]
    mended_count: int
    broken_count: int


@dataclass(frozen=True)
class Answers:
    """What the runs of both arms said of the test images.

    Attributes:
        image_ids: N of them.
        labels: ``[N]``.
        baseline, treatment: predicted labels of S runs ``[S, N]``.
    """

    image_ids: tuple[str, ...]
    labels: Labels
    baseline: Labels
    treatment: Labels

    @classmethod
    def of(cls, predictions: pd.DataFrame, baseline: str, treatment: str) -> Answers:
        """Read the long table of predictions, that `tasks.lift.predictions` has checked."""
        said = []
        for arm in (baseline, treatment):
            runs = predictions[predictions["arm"] == arm].groupby("seed", sort=True)
            said.append(np.stack([rows["predicted"].to_numpy(np.int64) for _, rows in runs]))
        first = next(rows for _, rows in runs)
        return cls(tuple(first["image_id"]), first["label"].to_numpy(np.int64), *said)


def confusion(labels: Labels, predicted: Labels, classes: int) -> Floats:
    """Return of each class the share of answers, mean over runs ``[K, K]``; rows sum to 1."""
    pairs = np.broadcast_to(labels, predicted.shape) * classes + predicted
    counts = np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)
    shares: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def mistakes(answers: Answers, test: ImageSet, class_names: tuple[str, ...]) -> Mistakes:
    """Return the most frequent confusions and the images that flipped, the clearest first."""
    before, after = (
        confusion(answers.labels, said, len(class_names))
        for said in (answers.baseline, answers.treatment)
    )
    worst = np.maximum(before, after)
    np.fill_diagonal(worst, 0.0)
    order = np.argsort(-worst, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    cells = [divmod(int(cell), len(class_names)) for cell in order if worst.flat[cell] > 0]
    both = (answers.baseline, answers.treatment)
    right = [(said == answers.labels).mean(axis=0) for said in both]
    gain = right[1] - right[0]
    mended = np.flatnonzero((right[0] < 0.5) & (right[1] > 0.5))
    broken = np.flatnonzero((right[0] > 0.5) & (right[1] < 0.5))
    rows = {name: row for row, name in enumerate(test.manifest["image_id"])}
    votes = [_majority(said, len(class_names)) for said in both]

    def shown(places: npt.NDArray[np.int64], worth: Floats) -> tuple[Flip, ...]:
        clearest = places[np.argsort(-worth[places], kind="stable")][:_MOST_FLIPS]
        return tuple(
            Flip(
                png=png_base64(to_picture(np.asarray(test.images[rows[answers.image_ids[place]]]))),
                true=class_names[answers.labels[place]],
                baseline=class_names[votes[0][place]],
                treatment=class_names[votes[1][place]],
            )
            for place in clearest
        )

    return Mistakes(
        confusions=tuple(
            Confusion(class_names[i], class_names[j], float(before[i, j]), float(after[i, j]))
            for i, j in cells
        ),
        mended=shown(mended, gain),
        broken=shown(broken, -gain),
        mended_count=len(mended),
        broken_count=len(broken),
    )


def draw_confusion(answers: Answers, class_names: tuple[str, ...], path: Path) -> None:
    """Draw the confusion matrices of baseline and treatment, rows being the true classes.

    Args:
        answers: of both arms.
        class_names: K names; past 30, an even selection is drawn.
        path: PNG to write.
    """
    labels = spread_out(len(class_names), MOST_CLASSES)
    names = [drawable(class_names[label], label) for label in labels]
    size = max(3.2, 0.34 * len(labels))
    with picture(path, 2 * size + 2.4, size + 1.6) as figure:
        for axes, said, title in zip(
            figure.subplots(1, 2, sharey=True),
            (answers.baseline, answers.treatment),
            ("Baseline", "Treatment"),
            strict=True,
        ):
            shares = 100.0 * confusion(answers.labels, said, len(class_names))
            shares = shares[np.ix_(labels, labels)]
            axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=100.0)
            axes.set_xticks(range(len(names)), names, rotation=90)
            axes.set_yticks(range(len(names)), names)
            axes.grid(visible=False)
            axes.set_title(title)
            axes.set_xlabel("answered, % of the class")
            if len(labels) <= _NUMBERS:
                for (row, column), share in np.ndenumerate(shares):
                    if share >= 0.5:  # what rounds to 0 stays empty
                        colour = "white" if share > 55 else "black"
                        axes.text(
                            column, row, f"{share:.0f}", ha="center", va="center",
                            fontsize=8, color=colour,
                        )  # fmt: skip
        figure.axes[0].set_ylabel("true class")


def draw_flips(found: Mistakes, class_names: tuple[str, ...], path: Path) -> None:
    """Draw the clearest test images that the treatment mends, and those that it breaks.

    Args:
        found: of both arms.
        class_names: all of them, in the order of their labels.
        path: PNG to write; without any such image it says so.
    """
    kinds = (
        ("mends", found.mended, found.mended_count),
        ("breaks", found.broken, found.broken_count),
    )

    def named(name: str) -> str:
        shown = drawable(name, class_names.index(name))
        return shown if len(shown) <= _CAPTION else f"{shown[: _CAPTION - 1]}…"

    with picture(path, 9.6, 4.0) as figure:
        halves = list(figure.subfigures(2, 1, squeeze=False)[:, 0])
        for part, (does, flips, count) in zip(halves, kinds, strict=True):
            drawn = flips[:_DRAWN_FLIPS]
            more = f", the clearest {len(drawn)} shown" if count > len(drawn) else ""
            images = "test image" if count == 1 else "test images"
            how = ": the true class, and below it baseline → treatment" if drawn else ""
            title = f"The treatment {does} {count} {images}{more}{how}"
            part.suptitle(title, x=0.01, ha="left", fontsize=11)
            for axes, flip in zip_longest(part.subplots(1, _DRAWN_FLIPS), drawn):
                axes.axis("off")
                if flip is None:
                    continue
                with Image.open(BytesIO(b64decode(flip.png))) as image:
                    axes.imshow(image.convert("RGB"), interpolation="nearest")
                said = f"{named(flip.baseline)} → {named(flip.treatment)}"
                axes.set_title(
                    f"{named(flip.true)}\n{said}", fontsize=9, loc="center", pad=3, weight="normal"
                )


def _majority(predicted: Labels, classes: int) -> Labels:
    """Return the label that most runs gave ``[N]``; of equals, the first."""
    votes = np.stack([(predicted == label).sum(axis=0) for label in range(classes)])
    found: Labels = votes.argmax(axis=0)
    return found

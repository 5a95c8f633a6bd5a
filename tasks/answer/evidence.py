"""Pictures of what stands behind the result: GAN curves, filter, real beside synthetic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tasks.answer.drawing import (
    BLUE,
    GREEN,
    GREY,
    LINES,
    MARKERS,
    ORANGE,
    PURPLE,
    SKY,
    SLATE,
    VERMILION,
    YELLOW,
    drawable,
    picture,
    rows_axis,
    spread_out,
)
from tasks.contracts.image_set import Images, ImageSet

MOST_ROWS = 12  # classes of the grid of images
MOST_BARS = 30  # classes of the filter's picture
_COLOURS = (VERMILION, PURPLE, SKY, YELLOW, BLUE, ORANGE, GREY, SLATE)
_HATCHES = ("", "///", "...")  # each colour once more, past the eighth reason
_PANELS = (
    ("Loss", "loss_g", "loss_d", "generator", "discriminator"),
    ("Logit", "logit_fake", "logit_real", "synthetic", "real"),
    ("Gradient norm", "grad_norm_g", "grad_norm_d", "generator", "discriminator"),
)
_CELL, _GAP, _MIDDLE = 64, 6, 40  # pixels of the grid: least cell, gap, gap between the halves
_LARGEST_CELL, _HALF = 128, 512  # largest cell, width of the images of one half


def draw_gan_curves(curves: pd.DataFrame, path: Path) -> None:
    """Draw losses, logits and gradient norms over training, a thin line for each GAN.

    Args:
        curves: gan_seed, kimg and the six quantities, a row a tick.
        path: PNG to write.
    """
    with picture(path, 9.6, 3.1) as figure:
        for axes, (title, first, second, *names) in zip(
            figure.subplots(1, 3), _PANELS, strict=True
        ):
            for column, colour, name in zip((first, second), (BLUE, ORANGE), names, strict=True):
                for number, (_, rows) in enumerate(curves.groupby("gan_seed")):
                    axes.plot(
                        rows["kimg"],
                        rows[column],
                        color=colour,
                        alpha=0.75,
                        linewidth=1.1,
                        label=name if number == 0 else None,
                    )
            axes.set_title(title)
            axes.set_xlabel("thousand images shown")
            axes.legend(fontsize=8.5, handlelength=1.2)


def draw_filter_reasons(reasons: pd.DataFrame, class_names: Sequence[str], path: Path) -> None:
    """Draw how many pool images of each class were accepted, and why others were not.

    A reason keeps its colour by its place in the table, whether or not others occur.

    Args:
        reasons: class_name, reason, count; the reasons in their order, ``accepted`` among them.
        class_names: K names in the order of their labels; past 30, an even selection is shown.
        path: PNG to write.
    """
    looks = _looks(list(reasons["reason"].unique()))
    table = reasons.pivot_table(
        index="class_name", columns="reason", values="count", aggfunc="sum", fill_value=0
    ).reindex(index=list(class_names), columns=list(looks), fill_value=0)
    labels = spread_out(len(class_names), MOST_BARS)
    shown = table.iloc[labels]
    total = shown.sum(axis=1).clip(lower=1)
    with picture(path, 9.6, 1.5 + 0.28 * len(shown)) as figure:
        axes = figure.subplots()
        start = np.zeros(len(shown))
        for reason, (colour, hatch) in looks.items():
            if not table[reason].any():
                continue
            share = (100.0 * shown[reason] / total).to_numpy(np.float64)
            axes.barh(
                range(len(shown)),
                share,
                left=start,
                height=0.72,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                label=reason,
            )
            start += share
        rows_axis(axes, [drawable(class_names[label], label) for label in labels])
        axes.set_xlim(0, 100)
        axes.set_xlabel("% of the pool images of the class")
        figure.legend(loc="outside upper left", ncols=6, handlelength=1, fontsize=9)


def draw_reliability(reliability: pd.DataFrame, path: Path) -> None:
    """Draw how often images of equal p(real) are real, a line for each GAN's calibration.

    Args:
        reliability: gan_seed, p_real (mean of a bin, 0 to 1), share_real (0 to 1), images.
        path: PNG to write.
    """
    seeds = sorted(reliability["gan_seed"].unique())
    with picture(path, 6.4, 4.6) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=(0, (3, 3)), zorder=0.8)
        for number, seed in enumerate(seeds):
            rows = reliability[reliability["gan_seed"] == seed].sort_values("p_real")
            axes.plot(
                rows["p_real"],
                rows["share_real"],
                color=LINES[number % len(LINES)],
                marker=MARKERS[number % len(MARKERS)],
                markeredgecolor="white",
                linewidth=1.2,
                label=f"GAN {seed}",
            )
        axes.set_aspect("equal")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.set(xlabel="p(real) from the filter", ylabel="share of real images")
        axes.set_title("Calibration of p(real)")
        if len(seeds) <= len(LINES):
            axes.legend(fontsize=9, handlelength=1.5, loc="upper left")


def draw_real_beside_synthetic(merged: ImageSet, path: Path, seed: int) -> None:
    """Draw real training images (left) beside accepted synthetic ones (right), by class.

    Images are picked at random, not by looks. Past 12 classes an even selection is shown.

    Args:
        merged: real and synthetic training images.
        path: PNG to write.
        seed: of the pick.
    """
    names = merged.class_names
    labels = spread_out(len(names), MOST_ROWS)
    height, width, _ = merged.image_shape
    cell = _cell_size(max(height, width))
    columns = _HALF // cell
    side = columns * (cell + _GAP) - _GAP
    board = np.full(
        (len(labels) * (cell + _GAP) - _GAP, 2 * side + _MIDDLE, 3), 255, dtype=np.uint8
    )
    rng = np.random.default_rng([seed, 3])
    origins = [merged.manifest["origin"].eq(origin) for origin in ("real", "synthetic")]
    for row, label in enumerate(labels):
        of_class = merged.manifest["class_name"].eq(names[label])
        for half, wanted in enumerate(origins):
            pool = np.flatnonzero(of_class & wanted)
            for column, index in enumerate(rng.permutation(pool)[:columns]):
                top, left = row * (cell + _GAP), half * (side + _MIDDLE) + column * (cell + _GAP)
                board[top : top + cell, left : left + cell] = _cell(merged.images[index], cell)
    with picture(path, board.shape[1] / 160 + 1.9, board.shape[0] / 160 + 0.6) as figure:
        axes = figure.subplots()
        axes.imshow(board, interpolation="antialiased")
        axes.set_yticks(
            [row * (cell + _GAP) + cell / 2 for row in range(len(labels))],
            [drawable(names[label], label) for label in labels],
        )
        axes.set_xticks([side / 2, side + _MIDDLE + side / 2], ["real", "synthetic"])
        axes.tick_params(axis="x", labeltop=True, labelbottom=False, labelsize=11)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)


def _looks(reasons: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and hatch of each reason: green for ``accepted``, others by their place."""
    looks = {"accepted": (GREEN, "")}
    for place, reason in enumerate(name for name in reasons if name not in looks):
        again, number = divmod(place, len(_COLOURS))
        looks[reason] = (_COLOURS[number], _HATCHES[again % len(_HATCHES)])
    return looks


def _cell_size(pixels: int) -> int:
    """Return a whole multiple of the image size of at least 64, or 128 for larger images."""
    return min(-(-_CELL // pixels) * pixels, _LARGEST_CELL)


def _cell(image: Images, cell: int) -> Images:
    """Return an image ``[H, W, C]`` as ``[cell, cell, 3]``: enlarged by whole pixels, or shrunk."""
    colour = np.broadcast_to(image, (*image.shape[:2], 3)) if image.shape[2] == 1 else image
    method = Image.Resampling.NEAREST if max(image.shape) <= cell else Image.Resampling.BOX
    resized = Image.fromarray(np.ascontiguousarray(colour)).resize((cell, cell), method)
    return np.asarray(resized, dtype=np.uint8)

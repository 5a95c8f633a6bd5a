"""``ganlift predict``: the classes of a person's own images, by the champion."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.folder_images import FolderImages
from flows.line_file import paths
from tasks.adapters.tracking.registry import Classifier, load_classifier
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.ingest import IngestParams
from tasks.contracts.params.line import load_params

_CLASSES = 5  # named in a line


@dataclass(frozen=True)
class Order:
    """What is to be told apart, and where the answer goes.

    Attributes:
        folder: its images are read, at any depth.
        out: CSV to write.
        version: of the model in the registry; None takes the champion.
        force: write over a file that is there.
    """

    folder: Path
    out: Path
    version: int | None
    force: bool


def predict_folder(order: Order) -> None:
    """Write the class and the probabilities of every image, and show a summary.

    The CSV has a row for each image that can be read: file, class, p (of that class), then
    ``p_<class>`` for every class.

    Raises:
        UserError: no images, none readable, a file in the way, or no model to be had.
    """
    _see_free(order)
    images = FolderImages.below(order.folder)
    ingest = load_params().ingest
    console = Console(highlight=False)
    with console.status("loading the model"):
        model = load_classifier(ingest.source, order.version)
    _see_of_one_kind(model, order, ingest, console)
    certain: dict[str, list[float]] = {name: [] for name in model.class_names}
    part = order.out.with_name(f".{order.out.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "class", "p", *(f"p_{name}" for name in model.class_names)])
            writer.writerows(_rows(images, model, ingest, certain, console))
        part.replace(order.out)  # whole or not at all
    finally:
        part.unlink(missing_ok=True)
    _show(console, order, model, certain, images)


def _see_of_one_kind(
    model: Classifier, order: Order, ingest: IngestParams, console: Console
) -> None:
    """Refuse a champion of other classes or size than the project's; say so of a named version."""
    train, told = paths()["train"], []
    if train.is_dir():
        classes = ImageSet.load(train).class_names
        if list(classes) != list(model.class_names):
            told.append(f"of the classes {_few(model.class_names)}, not {_few(classes)}")
    if model.image_size != ingest.image_size:
        told.append(
            f"for {model.image_size} px images, where ingest.image_size={ingest.image_size}"
        )
    if not told:
        return
    if order.version is None:
        raise UserError(
            model.name,
            f"it is {' and '.join(told)}",
            "Run `ganlift run` on these settings, or name this very model with --model VERSION",
        )
    console.print(f"[yellow]note[/] this model is {escape(' and '.join(told))}", soft_wrap=True)


def _few(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_CLASSES])) + (", …" if len(names) > _CLASSES else "")


def _see_free(order: Order) -> None:
    out = order.out
    if not out.parent.is_dir():
        raise UserError(f"--out {out}", f"no folder {out.parent}", "Make it, or name another")
    if out.is_dir() or (out.exists() and not order.force):
        mend = "Name another" if out.is_dir() else "Name another with --out, or give --force"
        raise UserError(f"--out {out}", "is already there", mend)


def _rows(
    images: FolderImages,
    model: Classifier,
    ingest: IngestParams,
    certain: dict[str, list[float]],
    console: Console,
) -> Iterator[list[str]]:
    """Yield the row of each image that can be read, seen as the model's own were in training."""
    asked = {"image_size": model.image_size, "channels": model.channels, "fit": model.fit}
    params = ingest.model_copy(update=asked)
    for items, pixels in images.pixels(params, "predict", console):
        for item, told in zip(items, model.predict(pixels), strict=True):
            name, p = model.class_names[int(told.argmax())], float(told.max())
            certain[name].append(p)
            yield [item.source, name, f"{p:.6f}", *(f"{value:.6f}" for value in told)]


def _show(
    console: Console,
    order: Order,
    model: Classifier,
    certain: dict[str, list[float]],
    images: FolderImages,
) -> None:
    """Print a line for each class.

    Args:
        console: to print on.
        order: what was asked.
        model: that answered.
        certain: each class's probabilities where it was the most likely one.
        images: those that were read, and those that could not be.
    """
    console.print(escape(f"{model.name} (verdict: {model.verdict})"), soft_wrap=True)
    table = Table()
    table.add_column("class", overflow="fold")
    table.add_column("images", justify="right")
    table.add_column("mean p", justify="right")
    for name, told in certain.items():
        mean = f"{np.mean(told):.3f}" if told else "–"
        table.add_row(escape(name), f"{len(told):,}", mean)
    console.print(table)
    images.show_skipped(console)
    total = sum(map(len, certain.values()))
    unread = f", {len(images.unreadable):,} unreadable" if images.unreadable else ""
    console.print(f"{total:,} images told apart{unread}: {escape(str(order.out))}", soft_wrap=True)

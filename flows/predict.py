"""``ganlift predict``: the classes of a person's own images, by the champion."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from flows.line_file import paths, white_level
from tasks.adapters.tracking.registry import Classifier, load_classifier
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.ingest import IngestParams
from tasks.contracts.params.line import load_params
from tasks.data.decoding import SUFFIXES
from tasks.data.items import Item, Rejected
from tasks.data.reading import read
from tasks.data.trees import folder_tree

_CHUNK = 256  # images in memory at a time
_MOST_NAMED = 10  # unreadable files
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


@dataclass
class _Tally:
    """Each class's probabilities where it was the most likely one, and the unreadable."""

    certain: dict[str, list[float]]
    unreadable: list[Rejected] = field(default_factory=list)


def predict_folder(order: Order) -> None:
    """Write the class and the probabilities of every image, and show a summary.

    The CSV has a row for each image that can be read: file, class, p (of that class), then
    ``p_<class>`` for every class.

    Raises:
        UserError: no images, none readable, a file in the way, or no model to be had.
    """
    _see_free(order)
    items = images_below(order.folder)
    ingest = load_params().ingest
    console = Console(highlight=False)
    with console.status("loading the model"):
        model = load_classifier(ingest.source, order.version)
    _see_of_one_kind(model, order, ingest, console)
    tally = _Tally({name: [] for name in model.class_names})
    part = order.out.with_name(f".{order.out.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "class", "p", *(f"p_{name}" for name in model.class_names)])
            writer.writerows(_rows(items, model, ingest, tally, console))
        see_some_read(order.folder, items, tally.unreadable)
        part.replace(order.out)  # whole or not at all
    finally:
        part.unlink(missing_ok=True)
    _show(console, order, model, tally)


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


def images_below(folder: Path) -> list[Item]:
    """List the images of a folder, at any depth.

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise UserError(str(folder), "no such folder", "Give a folder of images")
    items = [leaf.item("", None) for leaf in folder_tree(folder).leaves if leaf.is_image]
    if not items:
        kinds = ", ".join(sorted(SUFFIXES))
        raise UserError(str(folder), f"holds no images ({kinds})", "Give a folder of images")
    return items


def _rows(
    items: list[Item], model: Classifier, ingest: IngestParams, tally: _Tally, console: Console
) -> Iterator[list[str]]:
    """Yield the row of each image that can be read, seen as the model's own were in training."""
    asked = {"image_size": model.image_size, "channels": model.channels, "fit": model.fit}
    params, white = ingest.model_copy(update=asked), white_level()
    starts = range(0, len(items), _CHUNK)
    hidden = not console.is_terminal
    for start in track(starts, "predict", console=console, transient=True, disable=hidden):
        done = read(items[start : start + _CHUNK], params, lambda *_: None, white)
        tally.unreadable += done.unreadable
        if not done.items:
            continue
        for item, told in zip(done.items, model.predict(done.pixels[:]), strict=True):
            name, p = model.class_names[int(told.argmax())], float(told.max())
            tally.certain[name].append(p)
            yield [item.source, name, f"{p:.6f}", *(f"{value:.6f}" for value in told)]


def see_some_read(folder: Path, items: Sequence[Item], unreadable: Sequence[Rejected]) -> None:
    """See that at least one image could be read.

    Raises:
        UserError: none could.
    """
    if len(unreadable) == len(items):
        raise UserError(
            str(folder),
            f"none of its {len(items)} images could be read ({unreadable[0].reason})",
            "Check the files with an image viewer",
        )


def show_skipped(unreadable: Sequence[Rejected], console: Console) -> None:
    """Name the files that could not be read, the first of many."""
    for bad in unreadable[:_MOST_NAMED]:
        console.print(f"[yellow]skipped[/] {escape(bad.source)}: {escape(bad.reason)}")
    if len(unreadable) > _MOST_NAMED:
        console.print(f"[yellow]skipped[/] {len(unreadable) - _MOST_NAMED} more")


def _show(console: Console, order: Order, model: Classifier, tally: _Tally) -> None:
    console.print(escape(f"{model.name} (verdict: {model.verdict})"), soft_wrap=True)
    table = Table()
    table.add_column("class", overflow="fold")
    table.add_column("images", justify="right")
    table.add_column("mean p", justify="right")
    for name, certain in tally.certain.items():
        mean = f"{np.mean(certain):.3f}" if certain else "–"
        table.add_row(escape(name), f"{len(certain):,}", mean)
    console.print(table)
    show_skipped(tally.unreadable, console)
    total = sum(map(len, tally.certain.values()))
    unread = f", {len(tally.unreadable):,} unreadable" if tally.unreadable else ""
    console.print(f"{total:,} images told apart{unread}: {escape(str(order.out))}", soft_wrap=True)

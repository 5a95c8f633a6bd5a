"""``ganlift translate``: images of the other domain, turned by the translators of a run."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from flows.export import new_folder
from flows.grid import find_checkpoint
from flows.line_file import paths, white_level
from flows.predict import images_below, see_some_read, show_skipped
from tasks.contracts.errors import UserError
from tasks.contracts.params.ingest import IngestParams
from tasks.contracts.params.line import load_params
from tasks.data.items import Item, Rejected
from tasks.data.pictures import to_picture
from tasks.data.reading import read
from tasks.gan.checkpoint import checkpoints, load_config, load_generator
from tasks.gan.networks import TranslatorGenerator
from tasks.gan.sampling import translate

TABLE = "translated.csv"
_CHUNK = 256  # images in memory at a time


@dataclass(frozen=True)
class Order:
    """What is to be turned, and where it goes.

    Attributes:
        folder: its images are read, at any depth.
        out: folder to write, not there yet or empty.
        looks: images to make of each.
        gan_seed: the GAN that makes them; None lets all of them take turns.
    """

    folder: Path
    out: Path
    looks: int
    gan_seed: int | None


@dataclass
class _Work:
    """The translators by their GAN seeds, how images are read for them, and what could not be."""

    translators: dict[int, TranslatorGenerator]
    params: IngestParams
    white: int | None
    unreadable: list[Rejected] = field(default_factory=list)


def translate_folder(order: Order) -> None:
    """Write PNGs under the names of their originals, and a table that names these and the GANs.

    The look of an image depends on its path and number alone.

    Raises:
        UserError: no images, none readable, no translator, or a folder in the way.
    """
    items = images_below(order.folder)
    work = _work(order)
    console = Console(highlight=False)
    with new_folder(order.out) as part, (part / TABLE).open("w", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "source", "gan_seed"])
        writer.writerows(_rows(items, work, order.looks, part, console))
        see_some_read(order.folder, items, work.unreadable)
    show_skipped(work.unreadable, console)
    turned = len(items) - len(work.unreadable)
    told = f"{turned * order.looks:,} images made of {turned:,}: {order.out}"
    console.print(escape(told), soft_wrap=True)


def _work(order: Order) -> _Work:
    models = paths()["gan"]
    if order.gan_seed is None and models.is_dir():
        found = checkpoints(models)
    else:
        checkpoint = find_checkpoint(models, order.gan_seed)
        found = {load_config(checkpoint)["seed"]: checkpoint}
    translators = {}
    for gan_seed, checkpoint in found.items():
        generator = load_generator(checkpoint)
        if not isinstance(generator, TranslatorGenerator):
            network = load_config(checkpoint)["network"]["network"]
            raise UserError(
                str(checkpoint),
                f"turns no images: its network is {network}, not translator",
                "docs/other_domain.md says how to train one that does",
            )
        translators[gan_seed] = generator
        spec = load_config(checkpoint)["network"]
    asked = {key: spec[key] for key in ("image_size", "channels")}
    return _Work(translators, load_params().ingest.model_copy(update=asked), white_level())


def _rows(
    items: Sequence[Item], work: _Work, looks: int, folder: Path, console: Console
) -> Iterator[tuple[str, str, int]]:
    """Write the images; yield file, source and GAN seed of each."""
    starts, hidden = range(0, len(items), _CHUNK), not console.is_terminal
    for start in track(starts, "translate", console=console, transient=True, disable=hidden):
        done = read(items[start : start + _CHUNK], work.params, lambda *_: None, work.white)
        work.unreadable += done.unreadable
        if not done.items:
            continue
        for look in range(looks):
            gan_seed = list(work.translators)[look % len(work.translators)]
            latents = [zlib.crc32(f"{item.source} {look}".encode()) for item in done.items]
            made = translate(work.translators[gan_seed], done.pixels[:], np.array(latents))
            for item, pixels in zip(done.items, made, strict=True):
                file = f"{item.source}-{look + 1}.png"  # two originals may differ in suffix alone
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                to_picture(pixels).save(folder / file)
                yield file, item.source, gan_seed

"""``ganlift translate``: images of the other domain, turned by the translators of a run."""

from __future__ import annotations

import csv
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape

from flows.export import new_folder
from flows.folder_images import FolderImages
from flows.grid import find_checkpoint
from flows.line_file import paths
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images
from tasks.contracts.params.ingest import IngestParams
from tasks.contracts.params.line import load_params
from tasks.data.items import Item
from tasks.data.pictures import to_picture
from tasks.gan.checkpoint import checkpoints, load_config, load_generator
from tasks.gan.networks import TranslatorGenerator
from tasks.gan.sampling import translate

TABLE = "translated.csv"
_LONGEST = 255  # bytes of a file's name


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


def translate_folder(order: Order) -> None:
    """Write PNGs under the names of their originals, and a table that names these and the GANs.

    The look of an image depends on its path and number alone.

    Raises:
        UserError: no images, none readable, no translator, or a folder in the way.
    """
    images = FolderImages.below(order.folder)
    if order.out.resolve().is_relative_to(order.folder.resolve()):
        raise UserError(
            str(order.out),
            f"lies in {order.folder}, and would be turned too the next time",
            "Name a folder outside of it",
        )
    translators, params = _translators(order.gan_seed)
    console = Console(highlight=False)
    with (
        new_folder(order.out) as part,
        (part / TABLE).open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "source", "gan_seed"])
        for items, pixels in images.pixels(params, "translate", console):
            writer.writerows(_turned(items, pixels, translators, order.looks, part))
    images.show_skipped(console)
    turned = len(images.items) - len(images.unreadable)
    told = f"{turned * order.looks:,} images made of {turned:,}: {order.out}"
    console.print(escape(told), soft_wrap=True)


def _translators(gan_seed: int | None) -> tuple[dict[int, TranslatorGenerator], IngestParams]:
    """Return the translators by their GAN seeds, and how images are read for them."""
    models, found, size = paths()["gan"], {}, {}
    one = gan_seed is not None or not models.is_dir()
    for place in [find_checkpoint(models, gan_seed)] if one else checkpoints(models).values():
        config, generator = load_config(place), load_generator(place)
        size = {key: config["network"][key] for key in ("image_size", "channels")}
        if not isinstance(generator, TranslatorGenerator):
            raise UserError(
                str(place),
                f"turns no images: its network is {config['network']['network']}, not translator",
                "docs/other_domain.md says how to train one that does",
            )
        found[config["seed"]] = generator
    return found, load_params().ingest.model_copy(update=size)


def _turned(
    items: Sequence[Item],
    pixels: Images,
    translators: dict[int, TranslatorGenerator],
    looks: int,
    folder: Path,
) -> Iterator[tuple[str, str, int]]:
    """Write the images; yield file, source and GAN seed of each."""
    for look in range(looks):
        gan_seed = list(translators)[look % len(translators)]
        latents = [zlib.crc32(os.fsencode(f"{item.source} {look}")) for item in items]
        made = translate(translators[gan_seed], pixels, np.array(latents))
        for item, one in zip(items, made, strict=True):
            file = folder / _name(Path(item.source), look)
            file.parent.mkdir(parents=True, exist_ok=True)
            to_picture(one).save(file)
            yield file.relative_to(folder).as_posix(), item.source, gan_seed


def _name(source: Path, look: int) -> Path:
    """Return the name of an image: with its original's suffix, in which alone two may differ."""
    name = f"{source.name}-{look + 1}.png"
    if len(os.fsencode(name)) > _LONGEST:
        name = f"{zlib.crc32(os.fsencode(source.name)):08x}-{look + 1}.png"
    return source.with_name(name)

"""Labelled synthetic images of checkpoints, as an ImageSet that names how to make each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from tasks.contracts.image_set import Images, ImageSet, Labels, image_id
from tasks.contracts.machine import one_thread
from tasks.contracts.workers import spread
from tasks.gan.checkpoint import checkpoint_hash, load_config, load_contents, load_generator
from tasks.gan.networks.translator import Contents
from tasks.gan.sampling import latents_of, sample

ASKED = "asked"
_FRESH = 2**61  # where latent seeds of images that never join a pool begin
_SPAN = 2**20  # latent seeds set aside for each class, and classes for each root seed
_AT_ONCE = 4096  # images in memory; a multiple of the sampler's batch
_WORTH_SECONDS = 20.0  # of making images: processes take several to start
Job = tuple[Path, Labels, Labels]
Made = tuple[Images, pd.DataFrame]


def make_pool(
    folders: Mapping[int, Path],
    counts: Mapping[int, int],
    seed: int,
    pool: Path,
    watch: Callable[[float, str], None],
    asked: Mapping[int, int] | None = None,
) -> None:
    """Make so many images of each class from each checkpoint, written as they are made.

    Rows are sorted by checkpoint, then by class, latent seeds in order. ``seed`` moves the latent
    seeds, so another root seed draws another pool. A larger count of a class (up to 2**20) keeps
    the images of a smaller one and adds to them.

    Args:
        folders: the checkpoint of each GAN seed.
        counts: label -> images, of every class.
        seed: the root seed.
        pool: the folder of the set.
        watch: told the share that is done.
        asked: label -> images that the merge asks of each checkpoint, if the counts follow from
            that: written beside every image, as `ASKED`, for the filter to hold against.
    """
    side, channels = _shape(next(iter(folders.values())))
    each = sorted(counts.items())
    labels = np.concatenate([np.full(count, label, dtype=np.int64) for label, count in each])
    number = np.concatenate([np.arange(count, dtype=np.int64) for _, count in each])
    latent_seeds = (seed % _SPAN * _SPAN + labels) * _SPAN + number
    shape = (len(folders) * len(labels), side, side, channels)
    pool.mkdir(parents=True, exist_ok=True)
    images = np.lib.format.open_memmap(pool / "images.npy", "w+", np.uint8, shape)
    spans = [slice(start, start + _AT_ONCE) for start in range(0, len(labels), _AT_ONCE)]
    parts = [(gan_seed, folder, span) for gan_seed, folder in folders.items() for span in spans]
    jobs = ((folder, labels[span], latent_seeds[span]) for _, folder, span in parts)
    manifests, done = [], 0
    for (gan_seed, folder, span), (made, names) in zip(
        parts, _all_made(jobs, len(parts)), strict=True
    ):
        images[done : done + len(made)] = made
        manifests.append(_manifest(folder, gan_seed, labels[span], latent_seeds[span], names))
        done += len(made)
        watch(done / len(images), f"GAN {gan_seed}")
    images.flush()
    manifest = pd.concat(manifests, ignore_index=True)
    if asked is not None:
        manifest[ASKED] = manifest["label"].map(dict(asked)).astype(np.int64)
    manifest.to_parquet(pool / "manifest.parquet", index=False)


def make_fresh(folder: Path, gan_seed: int, labels: Labels, seed: int) -> ImageSet:
    """Make one image for each label from latents that no pool uses: fakes to calibrate with."""
    latent_seeds = _FRESH + seed % _SPAN * _SPAN + np.arange(len(labels), dtype=np.int64)
    side, channels = _shape(folder)
    images = np.empty((len(labels), side, side, channels), dtype=np.uint8)
    manifests = []
    for start in range(0, len(labels), _AT_ONCE):
        span = slice(start, start + _AT_ONCE)
        images[span], names = _made(folder, labels[span], latent_seeds[span])
        manifests.append(_manifest(folder, gan_seed, labels[span], latent_seeds[span], names))
    return ImageSet(images, pd.concat(manifests, ignore_index=True))


def _shape(folder: Path) -> tuple[int, int]:
    network = load_config(folder)["network"]
    return network["image_size"], network["channels"]


def _made(folder: Path, labels: Labels, latent_seeds: Labels) -> Made:
    """Make one image for each label and latent seed, and return them with their ids.

    The column ``content`` names the image that a translator made each of.
    """
    one_thread()  # as in training: the bytes must not depend on the cores there are
    generator = load_generator(folder)
    made = sample(generator, labels, latent_seeds)
    names = pd.DataFrame({"image_id": [image_id(one) for one in made]})
    contents = load_contents(folder)
    if contents is not None:
        latents = latents_of(latent_seeds, int(generator.latent_dim))  # type: ignore[arg-type]
        rows = Contents.of(contents).rows_of(latents, torch.from_numpy(labels)).numpy()
        names["content"] = contents.manifest["image_id"].to_numpy()[rows]
    return made, names


def _all_made(jobs: Iterator[Job], many: int) -> Iterator[Made]:
    """Do the jobs in order: the first here, the others in processes where that saves time."""
    start = time.perf_counter()
    yield _made(*next(jobs))
    left = (many - 1) * (time.perf_counter() - start)
    yield from spread(_made, jobs, here=1 if left < _WORTH_SECONDS else None)


def _manifest(
    folder: Path, gan_seed: int, labels: Labels, latent_seeds: Labels, made: pd.DataFrame
) -> pd.DataFrame:
    names = np.array(load_config(folder)["class_names"], dtype=object)
    checkpoint = checkpoint_hash(folder)
    manifest = pd.DataFrame(
        {
            "image_id": made["image_id"],
            "label": labels,
            "class_name": names[labels],
            "origin": "synthetic",
            "source": [f"{checkpoint}:{latent_seed}" for latent_seed in latent_seeds],
            "group": made["image_id"],
            "gan_seed": np.int64(gan_seed),
            "latent_seed": latent_seeds,
            "checkpoint": checkpoint,
        }
    )
    return manifest.join(made.drop(columns="image_id"))

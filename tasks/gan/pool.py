"""Labelled synthetic images of checkpoints, as an ImageSet that names how to make each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.contracts.image_set import Images, ImageSet, Labels, image_id
from tasks.contracts.machine import one_thread
from tasks.gan.checkpoint import checkpoint_hash, load_config, load_generator
from tasks.gan.sampling import sample

ASKED = "asked"
_FRESH = 2**61  # where latent seeds of images that never join a pool begin
_SPAN = 2**20  # latent seeds set aside for each class, and classes for each root seed
_AT_ONCE = 4096  # images in memory; a multiple of the sampler's batch


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
    manifests = []
    for place, (gan_seed, folder) in enumerate(folders.items()):
        into = images[place * len(labels) : (place + 1) * len(labels)]
        manifests.append(_make(folder, gan_seed, labels, latent_seeds, into))
        watch((place + 1) / len(folders), f"GAN {gan_seed}")
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
    return ImageSet(images, _make(folder, gan_seed, labels, latent_seeds, images))


def _shape(folder: Path) -> tuple[int, int]:
    network = load_config(folder)["network"]
    return network["image_size"], network["channels"]


def _make(
    folder: Path, gan_seed: int, labels: Labels, latent_seeds: Labels, into: Images
) -> pd.DataFrame:
    """Put one image for each label and latent seed into an array, and return its manifest."""
    one_thread()  # as in training: the bytes must not depend on the cores there are
    names = np.array(load_config(folder)["class_names"], dtype=object)
    generator, checkpoint = load_generator(folder), checkpoint_hash(folder)
    ids: list[str] = []
    for start in range(0, len(labels), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        made = into[rows] = sample(generator, labels[rows], latent_seeds[rows])
        ids += map(image_id, made)
    return pd.DataFrame(
        {
            "image_id": ids,
            "label": labels,
            "class_name": names[labels],
            "origin": "synthetic",
            "source": [f"{checkpoint}:{latent_seed}" for latent_seed in latent_seeds],
            "group": ids,
            "gan_seed": np.int64(gan_seed),
            "latent_seed": latent_seeds,
            "checkpoint": checkpoint,
        }
    )

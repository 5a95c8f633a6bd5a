"""``ganlift export private``: what differential privacy covers, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flows.export import new_folder, see_known
from flows.folds import see_line
from flows.line_file import paths
from tasks.answer.sharing import epsilon_delta, spent, unit
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import COLUMNS, ImageSet
from tasks.contracts.privacy import Guarantee, weakest
from tasks.data.export_formats import FORMATS
from tasks.gan.checkpoint import (
    CONFIG,
    GENERATOR,
    checkpoint_hash,
    checkpoints,
    load_config,
    load_contents,
)

STATEMENT, FIGURES = "PRIVACY.md", "privacy.json"
IMAGES, GENERATORS = "images", "generators"
SCHEMA = "ganlift/privacy/1"
_MEND = "Run `ganlift run --preset private`"
_AGAIN = "Run `ganlift run`, which makes all of it anew"
# what tells how an image was made, and nothing that was counted or measured on real ones
_TOLD = [*COLUMNS, "gan_seed", "latent_seed", "checkpoint"]
_CONFIG = ("schema", "network", "seed", "class_names", "train_gan")
_PUBLIC = (
    "the names of the classes",
    "the size of the images and their channels",
    "the settings in config.json",
    "the number of {unit}s",
)
_PRIVACY = """\
# What may be done with these files

They come from a training with **{epsilon_delta}-differential privacy** (Dwork and Roth 2014,
definition 2.4; trained by DP-SGD, Abadi et al. 2016). Whatever anyone concludes from all of them
together is at most e^ε times as likely with {hidden} as without, but for a
probability of δ. That holds whatever is done with these files and whatever else is known.

- Spent: {spent}
- Protected: {hidden}, of {units:,} {unit}s.
- Taken as public: {public}.
- Assumed: the secret that the noise follows from (`.ganlift/noise_secret` where the training ran)
  stays secret. It is in none of these files. Who has it can take the noise away again.

## What is here

- `images/`: every image that the GANs made, {images:,} of them. None was chosen or left out.
- `generators/SEED/`: the generator of each GAN, `generator.safetensors`, and how to build it.
- `privacy.json`: the figures above.

## What is not here, and not covered

The real images; the images that the filter accepted, for it looks at real ones; the classifiers;
every measurement, curve and report. Don't pass those on in its place, nor another training on the
same images: each adds to what is spent.
"""


def export_private(folder: Path, form: str) -> str:
    """Write the whole pool and the generators into a new folder, with the guarantee's statement.

    Args:
        folder: not there yet, or empty.
        form: of the images, a key of `FORMATS`.

    Returns:
        A line that says what was written.

    Raises:
        UserError: a GAN was trained without a guarantee, or what is there does not belong
            together; an unknown form; or a folder is in the way.
    """
    see_known(form, FORMATS, "--format")
    where = paths()
    see_line(where["pool"])
    folders = checkpoints(where["gan"])
    guarantees = _guarantees(where["gan_metrics"], folders)
    pool = ImageSet.load(where["pool"])
    _see_made_by(pool, folders, where["pool"])
    shown = ImageSet(pool.images, pool.manifest[_TOLD])
    with new_folder(folder) as part:
        (part / IMAGES).mkdir()
        FORMATS[form]({"": shown}, part / IMAGES)
        for gan_seed, checkpoint in folders.items():
            _write_generator(checkpoint, part / GENERATORS / str(gan_seed))
        (part / FIGURES).write_text(_figures(guarantees), encoding="utf-8")
        (part / STATEMENT).write_text(_statement(guarantees, len(pool)), encoding="utf-8")
    told = epsilon_delta(weakest(guarantees.values()))
    return f"{len(pool):,} images and {len(folders)} generators under {told}: {folder}"


def _guarantees(path: Path, folders: Mapping[int, Path]) -> dict[int, Guarantee]:
    """Return the guarantee of each GAN, seen to be that of the checkpoint that is there."""
    if not path.is_file():
        raise UserError(str(path), "is missing", _AGAIN)
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    found = {}
    for gan_seed, checkpoint in folders.items():
        entry = told.get(str(gan_seed), {})
        if entry.get("checkpoint") != checkpoint_hash(checkpoint):
            raise UserError(str(checkpoint), f"is not the GAN that {path} tells of", _AGAIN)
        if entry.get("privacy") is None:
            raise UserError(
                str(checkpoint), "the GAN was trained without a guarantee of privacy", _MEND
            )
        try:
            found[gan_seed] = Guarantee(**entry["privacy"])
        except (TypeError, ValidationError):
            raise UserError(str(path), f"the guarantee of GAN {gan_seed} is damaged", _AGAIN) from (
                None
            )
        if load_contents(checkpoint) is not None:
            raise UserError(
                str(checkpoint), "it holds images that its guarantee does not cover", _MEND
            )
    if any(one.gans != len(folders) for one in found.values()):
        raise UserError(
            str(path), f"its guarantee is not over the {len(folders)} GANs there are", _AGAIN
        )
    return found


def _see_made_by(pool: ImageSet, folders: Mapping[int, Path], path: Path) -> None:
    theirs = {checkpoint_hash(checkpoint) for checkpoint in folders.values()}
    if not set(pool.manifest["checkpoint"]) <= theirs:
        raise UserError(str(path), "its images were made by other GANs", _AGAIN)


def _write_generator(checkpoint: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    shutil.copy(checkpoint / GENERATOR, folder)
    config = load_config(checkpoint)
    text = json.dumps({name: config[name] for name in _CONFIG}, indent=2, sort_keys=True)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def _public(guarantee: Guarantee) -> list[str]:
    counts = ["the number of images of each class"] if guarantee.class_counts == "public" else []
    return [one.format(unit=guarantee.unit) for one in _PUBLIC] + counts


def _figures(guarantees: Mapping[int, Guarantee]) -> str:
    worst = weakest(guarantees.values())
    content = {
        "schema": SCHEMA,
        "epsilon": worst.epsilon_together,
        "delta": worst.delta,
        "unit": worst.unit,
        "public": _public(worst),
        "gans": {str(gan_seed): dataclasses.asdict(one) for gan_seed, one in guarantees.items()},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _statement(guarantees: Mapping[int, Guarantee], images: int) -> str:
    worst = weakest(guarantees.values())
    return _PRIVACY.format(
        epsilon_delta=epsilon_delta(worst),
        hidden=unit(worst),
        spent=spent(worst),
        units=worst.units,
        unit=worst.unit,
        public=", ".join(_public(worst)),
        images=images,
    )

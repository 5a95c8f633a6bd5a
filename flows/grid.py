"""``ganlift grid``: a picture of what a checkpoint makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flows.folds import FILE as FOLDS
from tasks.contracts.errors import UserError
from tasks.contracts.nearest import choose
from tasks.gan.checkpoint import CONFIG, checkpoints, load_config, load_generator
from tasks.gan.pictures import PICTURES, offered


@dataclass(frozen=True)
class Frame:
    """How the picture is to be made and kept.

    Attributes:
        kind: a name in `PICTURES`.
        out: PNG to write; by default the kind's name, in the working directory.
        scale: times an image's pixels are repeated; by default as often as makes it easy to see.
        force: write over a file that is there.
    """

    kind: str = "classes"
    out: Path | None = None
    scale: int | None = None
    force: bool = False


def draw_checkpoint(folder: Path, gan_seed: int | None, frame: Frame) -> Path:
    """Draw the checkpoint in ``folder`` (or below it, by its GAN seed) and return the PNG.

    Raises:
        UserError: no checkpoint there, a kind that is unknown or not offered by this network,
            or a file that is in the way.
    """
    if frame.kind not in PICTURES:
        raise UserError(f"--kind {frame.kind}", "unknown kind", choose(frame.kind, list(PICTURES)))
    out = _free(frame)
    checkpoint = find_checkpoint(folder, gan_seed)
    names = load_config(checkpoint)["class_names"]
    generator = load_generator(checkpoint)
    kinds = offered(generator)
    if frame.kind not in kinds:
        raise UserError(
            f"--kind {frame.kind}",
            f"the network in {checkpoint} does not offer it",
            f"Choose one of {', '.join(kinds)}",
        )
    picture = PICTURES[frame.kind](generator, names).picture(frame.scale)
    with out.open("wb" if frame.force else "xb") as file:
        picture.save(file, "PNG")
    return out


def _free(frame: Frame) -> Path:
    """Return where to write, after seeing that it can be done and harms nothing."""
    out = frame.out or Path(f"{frame.kind}.png")
    if out.suffix.lower() != ".png":
        raise UserError(f"--out {out}", "pictures are PNG files", f"Name it {out.stem}.png")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}", f"no folder {out.parent}", "Make it, or name another")
    if out.is_dir() or (out.exists() and not frame.force):
        mend = "Name another" if out.is_dir() else "Name another with --out, or give --force"
        raise UserError(f"--out {out}", "is already there", mend)
    return out


def _where_made() -> str:
    if FOLDS.is_file():
        return "each fold of a cross-validation has its own, such as folds/1/models/gan"
    return "`ganlift run --until train_gan` makes models/gan"


def find_checkpoint(folder: Path, gan_seed: int | None) -> Path:
    """Return the checkpoint's own folder.

    Raises:
        UserError: there is none, or several and no seed was given.
    """
    if (folder / CONFIG).is_file():
        if gan_seed is not None:
            raise UserError(f"--seed {gan_seed}", f"{folder} is one checkpoint", "Leave --seed out")
        return folder
    if not folder.is_dir():
        raise UserError(
            str(folder),
            "no such folder",
            f"Give the folder of a trained GAN; {_where_made()}",
        )
    found = checkpoints(folder)
    seeds = ", ".join(map(str, found))
    if gan_seed is None and len(found) > 1:
        raise UserError(
            str(folder), f"holds the GANs {seeds}", f"Choose: --seed {next(iter(found))}"
        )
    if gan_seed is not None and gan_seed not in found:
        raise UserError(f"--seed {gan_seed}", f"{folder} holds the GANs {seeds}", "Choose of these")
    return found[next(iter(found)) if gan_seed is None else gan_seed]

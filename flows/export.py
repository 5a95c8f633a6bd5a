"""``ganlift export``: images, and the winning classifier, in forms that other tools read."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd

from flows.folds import see_line
from flows.line_file import paths
from tasks.contracts.errors import UserError
from tasks.contracts.ground import owned
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.line import load_params
from tasks.data.export_formats import FORMATS, Parts

MODEL, PRIVATE = "model", "private"  # what modules of their own export
_NOTES = Path(".ganlift/exports")  # of exports at work, by process
_SCORES = ("p_real", "confidence", "margin", "realism", "nearest_distance", "hash_distance")
_OF_ONE = ["image_id", "gan_seed", "latent_seed"]  # an image of the pool


def export_images(what: str, folder: Path, form: str) -> str:
    """Write a set of images of the project in the working directory into a new folder.

    Args:
        what: a key of `SETS`.
        folder: not there yet, or empty.
        form: a key of `FORMATS`.

    Returns:
        A line that says what was written.

    Raises:
        UserError: an unknown set or form, a set that was not made yet, or a folder in the way.
    """
    see_known(what, (*SETS, MODEL, PRIVATE), "WHAT")
    if what == MODEL:
        raise UserError(f"--format {form}", "is of images, not of a model", "Leave it out")
    see_known(form, FORMATS, "--format")
    where = paths()
    see_line(where["train" if what == "real" else what])
    with new_folder(folder) as part:
        parts = SETS[what](where)
        FORMATS[form](parts, part)
    total = sum(map(len, parts.values()))
    return f"{total:,} images of {what}: {folder}"


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder beside the one that is asked for; it takes its place when all is written.

    Raises:
        UserError: something stands there, or it belongs to the pipeline or to the source.
    """
    _see_free(folder)
    _remove_parts_of_the_dead()
    part = folder.with_name(f".{folder.name}.part-{os.getpid()}")
    with _noted(part):
        part.mkdir()
        try:
            yield part
            try:
                part.rename(folder)  # over an empty folder, never over files
            except OSError as error:
                raise UserError(
                    str(folder), f"is in the way by now ({error.strerror})", "Name another folder"
                ) from None
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _noted(part: Path) -> Iterator[None]:
    """Note what is being written, so that the next export removes it should this one be killed."""
    note = _NOTES / str(os.getpid())
    note.parent.mkdir(parents=True, exist_ok=True)
    with note.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go when this process ends, however it ends
        file.write(str(part.absolute()))
        file.flush()
        try:
            yield
        finally:
            note.unlink()


def _remove_parts_of_the_dead() -> None:
    for note in _NOTES.glob("*"):
        with suppress(BlockingIOError, FileNotFoundError), note.open(encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part = file.read()
            if part.endswith(f".part-{note.name}"):
                shutil.rmtree(part, ignore_errors=True)
            note.unlink()


def _see_free(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(str(folder), "is already there", "Name another folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(str(folder), "is not empty", "Name another folder; nothing was touched")
    if not folder.parent.is_dir():
        raise UserError(str(folder), f"no folder {folder.parent}", "Make it, or name another")
    for held in (*owned(Path.cwd()), Path(load_params().ingest.source)):
        if folder.resolve().is_relative_to(held.resolve()):
            raise UserError(
                str(folder), f"lies in {held}, where nothing is exported to", "Name another folder"
            )


def see_known(given: str, known: Iterable[str], option: str) -> None:
    """See that a word is one of those there are.

    Raises:
        UserError: it is not.
    """
    known = tuple(known)
    if given not in known:
        raise UserError(f"{option} {given}", "is not known", f"Choose one of {', '.join(known)}")


def _real(where: Mapping[str, Path]) -> Parts:
    return {split: ImageSet.load(where[split]) for split in ("train", "val", "test")}


def _scored(name: str) -> Callable[[Mapping[str, Path]], Parts]:
    return lambda where: {"": _with_scores(ImageSet.load(where[name]), where["scores"])}


def _with_scores(images: ImageSet, path: Path) -> ImageSet:
    """Return a set with the filter's scores beside its synthetic images."""
    if not path.is_file():
        raise UserError(str(path), "is missing", "Run `ganlift run`, or `dvc checkout`")
    scores = pd.read_parquet(path)
    scores = scores[[*_OF_ONE, *(name for name in _SCORES if name in scores)]]
    kinds = {"gan_seed": "Int64", "latent_seed": "Int64"}
    manifest = images.manifest.astype(kinds).merge(
        scores.astype(kinds), how="left", on=_OF_ONE, indicator="found"
    )
    scored = manifest.pop("found") == "both"
    if len(manifest) != len(images) or (~scored & (manifest["origin"] == "synthetic")).any():
        raise UserError(
            str(path),
            "its scores are not of these images",
            "Run `ganlift run --from quality_filter`",
        )
    return ImageSet(images.images, manifest)


SETS: Mapping[str, Callable[[Mapping[str, Path]], Parts]] = {
    "real": _real,
    "accepted": _scored("accepted"),
    "merged": _scored("merged"),
}

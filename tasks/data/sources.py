"""Where images come from. A source is one function and one entry in `EMBEDDED`, or a folder.

A folder holds one folder a class, or ``train/``, ``val/`` and ``test/`` with the classes
inside, which are then respected. Beside either may stand ``unlabelled/`` with images of no
known class, at any depth; it is no class. What begins with a dot is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from tasks.contracts.errors import UserError
from tasks.data.decoding import SUFFIXES, open_image
from tasks.data.items import Item, Listing

SPLITS = ("train", "val", "test")
UNLABELLED = "unlabelled"
_UNLABELLED_FOLDERS = (UNLABELLED, "unlabeled")  # a second spelling must not become a class


def items_of(source: Path) -> Listing:
    """List what a source holds.

    Raises:
        UserError: the source is missing, empty of labelled images, or no source at all, mixes
            the two forms, or keeps unlabelled images inside a split.
    """
    if source.is_file():
        return Listing(list(_embedded(source)))
    if not source.is_dir():
        raise UserError(str(source), "no such source of images", "Correct `ingest.source`")
    named = [path.name for path in _folders(source) if path.name not in _UNLABELLED_FOLDERS]
    splits = [name for name in named if name in SPLITS]
    others = [name for name in named if name not in SPLITS]
    if splits and not others:
        items = [item for split in splits for item in _class_folders(source, split)]
    elif any(_holds_classes(source / split) for split in splits):
        raise UserError(
            str(source),
            f"{splits[0]}/ holds folders of classes, but {others[0]}/ stands beside it",
            "Let only train/, val/ and test/ stand there, or only classes",
        )
    else:
        items = list(_class_folders(source, None))
    if not items:
        kinds = ", ".join(sorted(SUFFIXES))
        raise UserError(
            str(source), "holds no images", f"Put images ({kinds}) into one folder a class"
        )
    for name in _UNLABELLED_FOLDERS:
        items += [
            Item("", path.relative_to(source).as_posix(), UNLABELLED, partial(open_image, path))
            for path in image_files(source, source / name)
        ]
    return Listing(items)


def _class_folders(source: Path, split: str | None) -> Iterator[Item]:
    top = source / split if split else source
    for folder in _folders(top):
        if folder.name in _UNLABELLED_FOLDERS:
            if split is None:
                continue
            raise UserError(
                str(folder),
                "unlabelled images stand inside a split",
                f"Move the folder to {source / UNLABELLED}, beside {split}/",
            )
        for path in image_files(source, folder):
            name = path.relative_to(source).as_posix()
            yield Item(folder.name, name, split, partial(open_image, path))


def image_files(source: Path, folder: Path) -> Iterator[Path]:
    """Yield the image files of a folder at any depth, sorted; none where there is no folder.

    What begins with a dot, between ``source`` and the file, is not looked at.
    """
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not hidden:
            yield path


def _folders(top: Path) -> list[Path]:
    return sorted(path for path in top.iterdir() if path.is_dir() and path.name[0] != ".")


def _holds_classes(folder: Path) -> bool:
    """Tell a split's folder from a class that happens to be called train, val or test."""
    images = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return bool(_folders(folder)) and next(images, None) is None


def _embedded(source: Path) -> Iterator[Item]:
    try:
        name = yaml.safe_load(source.read_text(encoding="utf-8"))["embedded"]
        images = EMBEDDED[name]
    except (yaml.YAMLError, ValueError, KeyError, TypeError):
        raise UserError(
            str(source),
            "a source that is a file must say `embedded: NAME`",
            f"Known names: {', '.join(EMBEDDED)}; for images of your own, give their folder",
        ) from None
    return images()


def digits() -> Iterator[Item]:
    """scikit-learn's 1,797 handwritten digits, 8x8, 17 grey levels stretched to 0..255."""
    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)
    for number, (image, label) in enumerate(zip(pixels, data.target, strict=True)):
        picture = Image.fromarray(image)
        yield Item(str(label), f"digits/{number:04d}", None, picture.copy)


EMBEDDED: dict[str, Callable[[], Iterator[Item]]] = {"digits": digits}

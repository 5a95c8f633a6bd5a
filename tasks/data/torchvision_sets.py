"""Data sets of torchvision by name, from a copy on disk: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tasks.contracts.errors import UserError
from tasks.data.items import Item

_BY_FLAG = ("MNIST", "FashionMNIST", "KMNIST", "USPS")  # train=True or False
_BY_NAME = ("STL10", "SVHN")  # split="train" or "test"


def torchvision_items(name: str, root: Path, source: Path) -> Iterator[Item]:
    """List the training and test images of a data set.

    Known are those whose files are plain arrays; others, CIFAR among them, come as pickles,
    which can run code.

    Args:
        name: of torchvision's class.
        root: the folder that the class takes as ``root``.
        source: the file that names both, for messages.

    Raises:
        UserError: another name, or no copy in the folder.
    """
    if name not in _BY_FLAG + _BY_NAME:
        raise UserError(
            f"{source}: torchvision: {name}",
            f"can be read: {', '.join(_BY_FLAG + _BY_NAME)}; others come as pickles, which are "
            "never loaded, or as folders of images",
            "Save its images into one folder a class, and give that folder",
        )
    import torchvision.datasets as known  # seconds, so only where it is asked for

    for split in ("train", "test"):
        which = {"train": split == "train"} if name in _BY_FLAG else {"split": split}
        try:
            data: Any = getattr(known, name)(str(root), download=False, **which)
        except (RuntimeError, OSError, ValueError) as error:
            raise UserError(
                str(root),
                f"no copy of {name} ({str(error).splitlines()[0]})",
                "Put the files that torchvision's class reads there",
            ) from None
        labels = data.targets if name in _BY_FLAG else data.labels
        names = getattr(data, "classes", None)
        for number, label in enumerate(labels):
            class_name = str(names[int(label)]) if names else str(int(label))
            place = f"{name}/{split}/{number:06d}"
            yield Item(class_name, place, split, partial(_picture, data.data[number]))


def _picture(pixels: Any) -> Image.Image:
    """Turn uint8 ``[H, W]`` or ``[3, H, W]``, an array or a tensor, into an image."""
    array = np.asarray(pixels)
    return Image.fromarray(array if array.ndim == 2 else array.transpose(1, 2, 0))

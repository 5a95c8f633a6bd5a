"""What a training set and the GAN's settings must satisfy before any time is spent."""

from __future__ import annotations

from pathlib import Path

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.checkpoint import load_config


def check_training_set(train: ImageSet, params: TrainGanParams) -> None:
    """Refuse what these images cannot train; settings that never go together are refused before.

    Raises:
        UserError: a single class, or colour augmentation of grey images.
    """
    if len(train.class_names) < 2:
        raise UserError(
            "train_gan",
            f"the only class is {', '.join(train.class_names) or 'missing'}, so there is nothing "
            "that a classifier could learn better",
            "Give images of at least two classes to ingest.source",
        )
    if "color" in params.diffaug and train.image_shape[2] == 1:
        raise UserError(
            "train_gan.diffaug", "`color` is for colour images, these are grey", "Leave it out"
        )


def check_checkpoint(folder: Path, images: ImageSet) -> None:
    """Refuse a checkpoint that was trained on something else than these images.

    Raises:
        UserError: its size, channels or classes differ, or it is damaged.
    """
    config = load_config(folder)
    spec = config["network"]
    ours = (*images.image_shape[::2], list(images.class_names))
    theirs = (spec["image_size"], spec["channels"], config["class_names"])
    for what, mine, its in zip(("image size", "channels", "classes"), ours, theirs, strict=True):
        if mine != its:
            raise UserError(
                str(folder),
                f"a checkpoint of another data set: its {what} are {its}, the images' {mine}",
                "Train again: `ganlift run --from train_gan --force`",
            )

"""What a training set and the GAN's settings must satisfy before any time is spent."""

from __future__ import annotations

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params import TrainGanParams
from tasks.gan.losses import LOSSES
from tasks.gan.networks import NETWORKS


def check_training_set(train: ImageSet, params: TrainGanParams) -> None:
    """Refuse what cannot be trained.

    Raises:
        UserError: an unknown network or loss, an odd batch, or colour augmentation of grey
            images.
    """
    for key, value, known in (
        ("network", params.network, NETWORKS),
        ("loss", params.loss, LOSSES),
    ):
        if value not in known:
            raise UserError(
                f"train_gan.{key}: {value}", "unknown", f"Known: {', '.join(sorted(known))}"
            )
    if params.batch_size % 2:
        raise UserError(
            f"train_gan.batch_size: {params.batch_size}",
            "the mode-seeking term pairs images, so it must be even",
            f"Use {params.batch_size + 1}",
        )
    if "color" in params.diffaug and train.image_shape[2] == 1:
        raise UserError(
            "train_gan.diffaug", "`color` is for colour images, these are grey", "Leave it out"
        )

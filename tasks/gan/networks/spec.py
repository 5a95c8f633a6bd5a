"""What has to be known to build a network again: a checkpoint's config holds it as JSON."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from tasks.contracts.params.train_gan import Conditioning, NetworkName, TrainGanParams

_Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class NetworkSpec:
    """Kind and size of a generator and its discriminator.

    Attributes:
        network: key of `tasks.gan.networks.NETWORKS`.
        conditioning: how the label enters, key of `tasks.gan.networks.conditioning.HEADS`.
        latent_dim: numbers in a latent.
        width: channels at the highest resolution.
        spectral_norm: whether the discriminator's weights are divided by their largest
            singular value.
        dropout: share of the discriminator's features dropped in training, 0..1.
        image_size: pixels of a side, a power of two from 8.
        channels: 1 or 3.
        classes: how many, at least 1.
    """

    network: NetworkName
    conditioning: Conditioning
    latent_dim: _Count
    width: _Count
    spectral_norm: bool
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)]
    image_size: Annotated[int, Field(ge=8)]
    channels: _Count
    classes: _Count

    @classmethod
    def of(
        cls, params: TrainGanParams, image_shape: tuple[int, int, int], classes: int
    ) -> NetworkSpec:
        """Return what `params` ask for, for images ``(H, W, C)`` of `classes` classes."""
        return cls(
            network=params.network,
            conditioning=params.conditioning,
            latent_dim=params.latent_dim,
            width=params.width,
            spectral_norm=params.spectral_norm,
            dropout=params.dropout,
            image_size=image_shape[0],
            channels=image_shape[2],
            classes=classes,
        )

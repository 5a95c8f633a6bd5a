"""A generator that turns images of another domain into images of this one, class for class.

With K classes there are 2K labels: class c of this domain is c, of the other domain K + c. Both are
trained, so that an image can be turned there and back (Choi et al. 2018, StarGAN,
arXiv:1711.09020); only the first K are asked for afterwards. The generator is told the domain
alone: the class is in the image that it turns, and what it cannot know it cannot make up
(docs/log.md). The discriminator knows both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.contracts.image_set import ImageSet
from tasks.gan.networks.conditioning import Discriminator, LabelledLatent
from tasks.gan.networks.conv import SLOPE, ConvTrunk, conv, conv_doubled, level_widths
from tasks.gan.networks.spec import NetworkSpec

_BLOCKS = 3  # at half the size
_FAINT = 0.1  # of the usual weights at the end of a block, so that images pass through at first


@dataclass(frozen=True)
class Contents:
    """The images that are turned into others: every label has some of its own.

    It is no part of the weights, and copies of a network share it.

    Attributes:
        images: uint8 ``[M, C, H, W]``.
        rows: ``[M]``, rows of the images, label after label.
        first: ``[L]``, where the rows of each label begin.
        count: ``[L]``, how many there are.
    """

    images: Tensor
    rows: Tensor
    first: Tensor
    count: Tensor

    @classmethod
    def of(cls, other_domain: ImageSet, train: ImageSet | None = None) -> Contents:
        """Return images of the other domain for labels of this one, and the reverse.

        Args:
            other_domain: images of every class.
            train: those of this domain, which training turns back.
        """
        sets = [other_domain] if train is None else [other_domain, train]
        images = torch.cat([torch.from_numpy(one.images[:].copy()) for one in sets])
        classes = len(other_domain.class_names)
        labels = torch.cat(
            [torch.from_numpy(one.labels + place * classes) for place, one in enumerate(sets)]
        )
        count = torch.bincount(labels, minlength=classes)
        return cls(
            images.permute(0, 3, 1, 2).contiguous(),
            labels.argsort(stable=True),
            count.cumsum(0) - count,
            count,
        )

    def __deepcopy__(self, memo: object) -> Self:
        """Return itself: nothing changes it."""
        return self

    def rows_of(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return the row of the image that each latent names, ``[N]``.

        Its first coordinate does, so that every image of a label is equally likely.

        Args:
            latents: standard normal, ``[N, Z]``.
            labels: ``[N]``.
        """
        first, share = latents[:, 0].cpu(), labels.cpu()
        count = self.count[share]
        place = (torch.special.ndtr(first) * count).long().clamp(min=0)
        return self.rows[self.first[share] + torch.minimum(place, count - 1)]


def in_pairs_of_one_content(latents: Tensor) -> Tensor:
    """Return latents ``[N, Z]`` of which 2i + 1 turns the image that 2i turns.

    Where its look alone differs, mode seeking asks for other looks and not for other contents (Choi
    et al. 2020, StarGAN v2, arXiv:1912.01865, eq. 3).
    """
    paired = latents.clone()
    paired[1::2, 0] = paired[::2, 0]
    return paired


class _Block(nn.Module):
    """Residual block whose features latent and label scale and shift (Perez et al. 2018, FiLM)."""

    def __init__(self, width: int, entry: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(entry, 2 * width)
        for layer in (self.first, self.second):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
        with torch.no_grad():
            self.second.weight.mul_(_FAINT)
            self.film.weight.mul_(_FAINT)

    def forward(self, x: Tensor, entry: Tensor) -> Tensor:
        """``[N, width, H, W]`` and what enters, ``[N, entry]``, to ``[N, width, H, W]``."""
        scale, shift = self.film(entry)[:, :, None, None].chunk(2, dim=1)
        inner = F.leaky_relu(self.first(x) * (1 + scale) + shift, SLOPE)
        changed: Tensor = x + self.second(inner)
        return changed


class TranslatorGenerator(nn.Module):
    """Image, latent and label to image: halve once, change, double, and the details beside.

    Attributes:
        latent_dim: numbers in a latent.
        contents: what it turns; to be set before it makes anything.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        fine, coarse = level_widths(spec)[:2]
        self.latent_dim, self.classes = spec.latent_dim, spec.classes
        self.contents: Contents | None = None
        self.entry = LabelledLatent(replace(spec, classes=2, conditioning="concat"))
        self.from_image = conv(spec.channels, fine)
        self.halved = conv(fine, coarse, stride=2)
        self.blocks = nn.ModuleList(_Block(coarse, self.entry.size) for _ in range(_BLOCKS))
        self.doubled = conv_doubled(coarse, fine)
        self.last = _Block(fine, self.entry.size)
        self.to_image = nn.Conv2d(fine, spec.channels, 3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents ``[N, Z]`` and labels ``[N]`` to images ``[N, C, H, W]``, mostly in -1..1.

        The latent names the image that is turned, and how it is done. Nothing bounds the images: a
        domain that is white where the other is black drives a tanh so far within the first steps
        that it has no gradient left (docs/log.md).
        """
        return self.turn(self.content(latents, labels), latents, labels)

    def content(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return the images that are turned, ``[N, C, H, W]`` in -1..1."""
        assert self.contents is not None, "a translator has to be given the images that it turns"
        chosen = self.contents.images[self.contents.rows_of(latents, labels)]
        return chosen.to(latents.device).float() / 127.5 - 1.0

    def turn(self, images: Tensor, latents: Tensor, labels: Tensor) -> Tensor:
        """Turn images ``[N, C, H, W]`` into such of the labels ``[N]``, in 0 to 2K - 1."""
        entry = self.entry(latents, (labels >= self.classes).long())
        details = self.from_image(images)
        x = self.halved(details)
        for block in self.blocks:
            x = block(x, entry)
        x = self.last(self.doubled(x) + details, entry)
        made: Tensor = self.to_image(x)
        return made

    def back(self, made: Tensor, latents: Tensor, labels: Tensor) -> Tensor:
        """Turn images back into the domain and class of what they were made from."""
        return self.turn(made, latents, (labels + self.classes) % (2 * self.classes))


def both_domains(spec: NetworkSpec) -> NetworkSpec:
    """Return the spec of a network that knows every class in two domains."""
    return replace(spec, classes=2 * spec.classes)


def translator_discriminator(spec: NetworkSpec) -> Discriminator:
    """Build the discriminator of both domains."""
    return Discriminator(ConvTrunk, both_domains(spec))

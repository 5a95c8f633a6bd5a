"""How the label enters: one small module a kind, whatever the network.

A trunk maps images ``[N, C', H, W]`` to features ``[N, F]`` and has an attribute ``features``
(F). A head adds what it needs to the image and turns features into logits. Label -1 stands for
"unlabelled": what the label says is then left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from tasks.gan.networks.spec import NetworkSpec

Trunk = Callable[[NetworkSpec, int], nn.Module]
"""Builds a trunk for images with so many channels (the image's own, and a head's)."""


class Judgement(NamedTuple):
    """What a discriminator says of images.

    Attributes:
        logits: ``[N]``, high for real.
        features: ``[N, F]``, what the logits were read from, before dropout.
        class_logits: ``[N, K]`` of an auxiliary classifier, or None.
    """

    logits: Tensor
    features: Tensor
    class_logits: Tensor | None

    def take(self, rows: Tensor) -> Judgement:
        """Return the images at ``rows``, in their order."""
        classes = None if self.class_logits is None else self.class_logits[rows]
        return Judgement(self.logits[rows], self.features[rows], classes)

    def joined(self, other: Judgement) -> Judgement:
        """Return this judgement's images and then the other's as one."""
        classes = None
        if self.class_logits is not None and other.class_logits is not None:
            classes = torch.cat([self.class_logits, other.class_logits])
        return Judgement(
            torch.cat([self.logits, other.logits]),
            torch.cat([self.features, other.features]),
            classes,
        )


class LabelledLatent(nn.Module):
    """Latent with an embedding of its label beside it; the latent alone without conditioning."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        conditional = spec.conditioning != "none"
        self.size = spec.latent_dim * (2 if conditional else 1)
        self.embed = nn.Embedding(spec.classes, spec.latent_dim) if conditional else None

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents ``[N, Z]`` and labels ``[N]`` (0 to K-1) to ``[N, size]``."""
        if self.embed is None:
            return latents
        return torch.cat([latents, self.embed(labels)], dim=1)


class Head(nn.Module):
    """Conditioning ``none``: real or fake, whatever the label. The others build on it."""

    planes = 0  # channels it adds to the image

    def __init__(self, features: int, spec: NetworkSpec) -> None:
        super().__init__()
        del spec
        self.logit = nn.Linear(features, 1)

    def enter(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` to what the trunk sees, ``[N, C + planes, H, W]``."""
        del labels
        return images

    def forward(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features ``[N, F]`` to logits ``[N]`` and class logits ``[N, K]`` or None."""
        del labels
        return self.logit(features).squeeze(1), None


class Concat(Head):
    """The label as one more channel, learned (Mirza and Osindero 2014, arXiv:1411.1784, eq. 2)."""

    planes = 1

    def __init__(self, features: int, spec: NetworkSpec) -> None:
        super().__init__(features, spec)
        self.plane = nn.Embedding(spec.classes, spec.image_size**2)

    def enter(self, images: Tensor, labels: Tensor) -> Tensor:
        """Put the label's plane behind the image; zeros without a label."""
        n, _, height, width = images.shape
        plane = _embedded(self.plane, labels).reshape(n, 1, height, width)
        return torch.cat([images, plane.to(images.dtype)], dim=1)


class Projection(Head):
    """Inner product of features and label (Miyato and Koyama 2018, arXiv:1802.05637, eq. 3)."""

    def __init__(self, features: int, spec: NetworkSpec) -> None:
        super().__init__(features, spec)
        self.embed = nn.Embedding(spec.classes, features)
        nn.init.normal_(self.embed.weight, std=1 / math.sqrt(features))

    def forward(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """As in `Head`; without a label, no inner product."""
        agreement = (features * _embedded(self.embed, labels)).sum(1)
        return self.logit(features).squeeze(1) + agreement, None


class Auxiliary(Head):
    """A classifier beside the logit (Odena et al. 2017, arXiv:1610.09585, eq. 2-3).

    The step teaches it on real images alone: fakes of a generator that errs would teach it wrong.
    """

    def __init__(self, features: int, spec: NetworkSpec) -> None:
        super().__init__(features, spec)
        self.classify = nn.Linear(features, spec.classes)

    def forward(self, features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | None]:
        """As in `Head`, with class logits, which know no label."""
        del labels
        return self.logit(features).squeeze(1), self.classify(features)


HEADS: dict[str, type[Head]] = {
    "none": Head,
    "concat": Concat,
    "projection": Projection,
    "auxiliary": Auxiliary,
}


class Discriminator(nn.Module):
    """A trunk and the head of the spec's conditioning."""

    def __init__(self, trunk: Trunk, spec: NetworkSpec) -> None:
        super().__init__()
        head = HEADS[spec.conditioning]
        self.trunk = trunk(spec, spec.channels + head.planes)
        self.dropout = nn.Dropout(spec.dropout)
        self.head = head(int(self.trunk.features), spec)  # type: ignore[arg-type]
        if spec.spectral_norm:
            _normalise(self)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` in -1..1, labels ``[N]`` (-1: none) to logits ``[N]``."""
        return self.judge(images, labels).logits

    def judge(self, images: Tensor, labels: Tensor) -> Judgement:
        """Return all it says of images ``[N, C, H, W]`` in -1..1 under labels ``[N]``."""
        features = self.trunk(self.head.enter(images, labels))
        logits, class_logits = self.head(self.dropout(features), labels)
        return Judgement(logits, features, class_logits)


def _embedded(embedding: nn.Embedding, labels: Tensor) -> Tensor:
    """Embeddings ``[N, E]`` of labels ``[N]``, zeros for -1."""
    rows: Tensor = embedding(labels.clamp(min=0))
    return rows * (labels >= 0).to(rows.dtype)[:, None]


def _normalise(discriminator: Discriminator) -> None:
    """Bound every layer's weight (Miyato et al. 2018, arXiv:1802.05957, section 2.1)."""
    for name, module in list(discriminator.named_modules()):
        # a plane is input, not a layer: what an image can change does not depend on its size
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)) and name != "head.plane":
            spectral_norm(module)

"""Terms added to the adversarial loss: per-sample, ``[N]`` or as many as the term looks at.

A term is a function of what one step of its side has at hand, and one entry in
`DISCRIMINATOR_TERMS` or `GENERATOR_TERMS` under the name of its weight in ``Penalties``. Terms
compute in float32 at least, whatever precision the networks ran in. R1 and R2 take their slopes
from `exact_slopes` or `sampled_slopes`, at a random share of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.gan.diffaug import diffaug
from tasks.gan.distributed import SOLO, Group
from tasks.gan.draws import Draws
from tasks.gan.networks import Judgement, TranslatorGenerator

_ANCHOR_DECAY = 0.99  # of LeCam's averages, a step
_NUDGE = 0.1  # times a standard normal: how far `sampled_slopes` moves a pixel (docs/log.md)
_NO_DISTANCE = 1e-5  # keeps the mode-seeking term finite where two images are equal


@dataclass
class DiscriminatorContext:
    """One step of the discriminator; reals are the first half of everything, fakes the second.

    Attributes:
        discriminator: ``(images [M, C, H, W], labels [M])`` to logits ``[M]``.
        policies: augmentations by name, as in `diffaug`.
        draws: random numbers of this process's samples.
        images: what it saw, augmented, ``[2N, C, H, W]`` in about -1..1.
        clean: the same images before augmentation.
        labels: ``[2N]``, -1 where unlabelled.
        logits: ``[2N]``, made from `images`.
        memory: what terms keep from step to step, float32; saved and restored with training.
        squared_slopes: of the logits by their images, ``[2M]``, at ``M`` reals and ``M`` fakes
            of the batch; empty where no term asks.
        group: the processes that share the batch.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    policies: Sequence[str]
    draws: Draws
    images: Tensor
    clean: Tensor
    labels: Tensor
    logits: Tensor
    memory: dict[str, Tensor]
    squared_slopes: Tensor
    group: Group = SOLO


Judge = Callable[[Tensor, Tensor], Judgement]


def exact_slopes(
    judge: Judge, images: Tensor, labels: Tensor, rows: Tensor
) -> tuple[Judgement, Tensor]:
    """Judge images, and differentiate the logits at ``rows`` by their images.

    Those rows pass by themselves, so that no other image's gradient is computed.

    Args:
        judge: mixes nothing of the images of a batch.
        images: ``[N, C, H, W]``.
        labels: ``[N]``.
        rows: ``[M]``, each once.

    Returns:
        The judgement of all ``N`` and the squared norms of the gradients, float32 ``[M]``.
    """
    probed = images[rows].requires_grad_(True)
    judged = judge(probed, labels[rows])
    slopes = _slope(judged.logits, probed).square().sum(dim=1)
    others = torch.ones_like(labels, dtype=torch.bool).index_fill(0, rows, value=False)
    rest = others.nonzero()[:, 0]
    if len(rest):
        judged = judged.joined(judge(images[rest], labels[rest]))
    return judged.take(torch.cat([rows, rest]).argsort()), slopes


def sampled_slopes(
    judge: Judge, images: Tensor, labels: Tensor, rows: Tensor, directions: Tensor
) -> tuple[Judgement, Tensor]:
    """Judge images, and estimate the slope at ``rows`` from copies moved a little.

    For ``n`` standard normal, ``((D(x + eps n) - D(x)) / eps)^2`` has the squared norm of the
    gradient for its mean as ``eps`` goes to 0, and needs no second derivative. The copies ride in
    the pass of the images; they cost a forward and a backward pass of their own number.

    Args:
        judge: mixes nothing of the images of a batch; must compute in float32, since the
            difference is small, and draw nothing at random.
        images: ``[N, C, H, W]``.
        labels: ``[N]``.
        rows: ``[M]``.
        directions: standard normal, ``[M, C, H, W]``.

    Returns:
        The judgement of all ``N`` and the squared slopes ``[M]``.
    """
    moved = images[rows] + _NUDGE * directions
    judged = judge(torch.cat([images, moved]), torch.cat([labels, labels[rows]]))
    change = judged.logits[len(images) :] - judged.logits[rows]
    seen = judged.take(torch.arange(len(images), device=images.device))
    return seen, (_precise(change) / _NUDGE).square()


def r1(context: DiscriminatorContext) -> Tensor:
    """Half the squared slope at reals (Mescheder et al. 2018, arXiv:1801.04406, eq. 9).

    Meant per sample: nothing in the network may mix the images of a batch. ``[M]``.
    """
    return context.squared_slopes.chunk(2)[0] / 2


def r2(context: DiscriminatorContext) -> Tensor:
    """Half the squared slope at fakes (Mescheder et al. 2018, eq. 10)."""
    return context.squared_slopes.chunk(2)[1] / 2


def gradient_penalty(context: DiscriminatorContext) -> Tensor:
    """(slope - 1)^2 between a real and its fake (Gulrajani et al. 2017, arXiv:1704.00028, eq. 3).

    The place on the line from fake to real, as the discriminator saw them, is drawn evenly for
    each pair; the label is the real's.
    """
    real, fake = context.images.detach().chunk(2)
    place = context.draws.uniform(len(real), 1, 1, 1)
    between = (place * real + (1 - place) * fake).requires_grad_(True)
    logits = context.discriminator(between, context.labels[: len(real)])
    slope: Tensor = torch.linalg.vector_norm(_slope(logits, between), dim=1)
    return (slope - 1).square()


def lecam(context: DiscriminatorContext) -> Tensor:
    """Distance of each logit to the other side's running mean, squared, real plus fake.

    Tseng et al. 2021 (arXiv:2104.03310, eq. 3 and 4). The two means move with decay 0.99, the
    batch at hand included, and start at the first batch's.
    """
    real, fake = _precise(context.logits).chunk(2)
    means = torch.stack([real.mean(), fake.mean()]).detach()
    context.group.average([means])
    before = context.memory.get("lecam", means)
    anchors = context.memory["lecam"] = before.lerp(means, 1 - _ANCHOR_DECAY)
    return (real - anchors[1]).square() + (fake - anchors[0]).square()


def consistency(context: DiscriminatorContext) -> Tensor:
    """(D(T(x)) - D(x))^2, real plus fake (Zhao et al. 2020, bCR, arXiv:2002.04724, alg. 1).

    ``T`` applies the policies anew to every image, however rarely adaptive augmentation does.
    """
    augmented = [diffaug(side, context.policies, context.draws) for side in context.clean.chunk(2)]
    logits = context.discriminator(torch.cat([*augmented, context.clean]), context.labels.repeat(2))
    changed, clean = _precise(logits).chunk(2)
    real, fake = (changed - clean).square().chunk(2)
    return real + fake


@dataclass
class GeneratorContext:
    """One step of the generator.

    Attributes:
        fake: its images ``[N, C, H, W]``, before augmentation.
        latents: what they were made from, ``[N, Z]``.
        labels: ``[N]``, the same for fakes and reals; equal in rows ``i`` and ``i + N/2`` where
            the mode-seeking term is on.
        fake_features: the discriminator's features ``[N, F]`` of the fakes.
        real_features: those of reals of the same labels; their gradient is not used.
        generator: what made the fakes.
    """

    fake: Tensor
    latents: Tensor
    labels: Tensor
    fake_features: Tensor
    real_features: Tensor
    generator: nn.Module


def mode_seeking(context: GeneratorContext) -> Tensor:
    """Inverse of image distance over latent distance for pairs of one class, ``[N/2]``.

    Mao et al. 2019 (MSGAN, arXiv:1903.05628, eq. 2): small when far latents give far images.
    Image ``i`` is paired with ``i + N/2``.
    """
    first, second = _precise(context.fake).chunk(2)
    z_first, z_second = context.latents.chunk(2)
    image_distance = (first - second).abs().mean(dim=(1, 2, 3))
    latent_distance = (z_first - z_second).abs().mean(dim=1)
    return 1.0 / (image_distance / latent_distance + _NO_DISTANCE)


def feature_matching(context: GeneratorContext) -> Tensor:
    """Squared distance of the mean features of a sample's class, real from fake, ``[N]``.

    Salimans et al. 2016 (arXiv:1606.03498, section 3.1), class by class: means over all classes
    would let the error of one make up for another's. Each sample carries its class's distance,
    so the mean of what is returned weighs classes by their share of the batch.
    """
    difference = _precise(context.fake_features) - _precise(context.real_features.detach())
    same = (context.labels[:, None] == context.labels[None, :]).to(difference.dtype)
    return (same @ difference / same.sum(dim=1, keepdim=True)).square().sum(dim=1)


def reconstruction(context: GeneratorContext) -> Tensor:
    """Mean absolute difference of an image to itself, turned there and back, ``[N]``.

    Zhu et al. 2017 (CycleGAN, arXiv:1703.10593, eq. 2), with one generator for both ways (Choi et
    al. 2018, StarGAN, arXiv:1711.09020, eq. 4). Only what is still in the image that was made can
    be turned back, so this keeps the content.
    """
    assert isinstance(context.generator, TranslatorGenerator)
    content = context.generator.content(context.latents, context.labels)
    back = context.generator.back(context.fake, context.latents, context.labels)
    return _precise(back - content).abs().mean(dim=(1, 2, 3))


DISCRIMINATOR_TERMS: dict[str, Callable[[DiscriminatorContext], Tensor]] = {
    "r1": r1,
    "r2": r2,
    "gradient_penalty": gradient_penalty,
    "lecam": lecam,
    "consistency": consistency,
}

GENERATOR_TERMS: dict[str, Callable[[GeneratorContext], Tensor]] = {
    "mode_seeking": mode_seeking,
    "feature_matching": feature_matching,
    "reconstruction": reconstruction,
}


def _precise(x: Tensor) -> Tensor:
    """Return `x` in float32, or as it is where that would lose digits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _slope(logits: Tensor, images: Tensor) -> Tensor:
    """Return each logit's gradient by its image, ``[N, C * H * W]``, itself differentiable."""
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return _precise(gradient).flatten(1)

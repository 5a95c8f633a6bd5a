"""One adversarial step: the discriminator, then the generator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.contracts.params.train_gan import BATCH_NORM, TrainGanParams
from tasks.gan.diffaug import AdaController, diffaug
from tasks.gan.distributed import SOLO, Group
from tasks.gan.draws import Draws, RealBatches
from tasks.gan.losses import adversarial_loss, clip_weights
from tasks.gan.model import Gan, precision_of
from tasks.gan.networks import Discriminator, Judgement, TranslatorGenerator
from tasks.gan.networks.translator import in_pairs_of_one_content
from tasks.gan.penalties import (
    DISCRIMINATOR_TERMS,
    GENERATOR_TERMS,
    DiscriminatorContext,
    GeneratorContext,
    exact_slopes,
    sampled_slopes,
)
from tasks.gan.schedules import SCHEDULES, top_k_share
from tasks.gan.state import optimizer_tensors, prefixed, restore_optimizer, under

_FIRST_GAMMA = 10.0  # times its weight, where r1 and r2 fall on a schedule (R3GAN)
_SLOPES = {"r1", "r2"}


@dataclass(frozen=True)
class Batch:
    """This process's share of a batch, of which both sides learn.

    Attributes:
        labels: ``[N]``, those of the fakes and of the reals that have one.
        known: the same, -1 where the real has none.
        real: images ``[N, C, H, W]`` in -1..1.
        seen: the reals as the discriminator sees them.
        latents: ``[N, Z]``.
        fake: what the generator makes of latents and labels, with its graph.
    """

    labels: Tensor
    known: Tensor
    real: Tensor
    seen: Tensor
    latents: Tensor
    fake: Tensor


def adam(parameters: Iterable[nn.Parameter], params: TrainGanParams) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015, arXiv:1412.6980): ``beta1`` and ``beta2`` are the paper's."""
    return torch.optim.Adam(parameters, betas=(params.beta1, params.beta2), foreach=True)


def rmsprop(parameters: Iterable[nn.Parameter], params: TrainGanParams) -> torch.optim.Optimizer:
    """RMSProp (Tieleman and Hinton 2012): ``beta2`` smooths the squared gradients."""
    return torch.optim.RMSprop(parameters, alpha=params.beta2, foreach=True)


OPTIMIZERS = {"adam": adam, "rmsprop": rmsprop}


class Batches(Protocol):
    """Draws batches of real images; training that goes on draws the same."""

    def state(self) -> dict[str, Any]:
        """Return where the draws stand, as plain values."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on drawing from where ``state`` stood."""


Data = TypeVar("Data", bound=Batches)


class GanStep(ABC, Generic[Data]):
    """One GAN's optimisers and running state, and the generator's part of a step."""

    def __init__(
        self,
        gan: Gan,
        data: Data,
        params: TrainGanParams,
        draws: Draws,
        group: Group = SOLO,
    ) -> None:
        assert isinstance(gan.discriminator, Discriminator)
        self.gan, self.data, self.params, self.draws, self.group = gan, data, params, draws, group
        self.discriminator = gan.discriminator
        self.device = draws.generator.device
        self.loss = adversarial_loss(params.loss, params.label_smoothing)
        self.weights = params.penalties.model_dump()
        self.terms_g = {n: t for n, t in GENERATOR_TERMS.items() if self.weights[n]}
        self.ada = AdaController(params.ada_target) if params.ada_target is not None else None
        self.memory: dict[str, Tensor] = {}
        self.updates = 0  # of the discriminator
        self.gentleness = 0  # halvings of the learning rate, doublings of r1 and r2
        self.size = params.batch_size // group.world
        optimizer = OPTIMIZERS[params.optimizer]
        self.opt_g = optimizer(gan.generator.parameters(), params)
        self.opt_d = optimizer(gan.discriminator.parameters(), params)

    @abstractmethod
    def step(self, done: float) -> dict[str, Tensor]:
        """Update D (``discriminator_steps`` times), then G; return scalars of this step."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and plain values to `restore` from."""
        tensors = prefixed("opt_g", optimizer_tensors(self.opt_g))
        tensors |= prefixed("opt_d", optimizer_tensors(self.opt_d))
        tensors |= prefixed("memory", self.memory)
        if self.ada is not None:
            tensors |= prefixed("ada", self.ada.state())
        facts = {"updates": self.updates, "gentleness": self.gentleness}
        return tensors, facts | {"sampler": self.data.state()}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        restore_optimizer(self.opt_g, under("opt_g", tensors))
        restore_optimizer(self.opt_d, under("opt_d", tensors))
        self.memory = {n: t.clone().to(self.device) for n, t in under("memory", tensors).items()}
        if self.ada is not None:
            self.ada.restore(under("ada", tensors))
        self.updates, self.gentleness = facts["updates"], facts["gentleness"]
        self.data.restore(facts["sampler"])

    def _set_rates(self, done: float) -> None:
        """Set the learning rates of this moment; both networks train."""
        rate = self.params.learning_rate * SCHEDULES[self.params.rate_schedule](done)
        rate *= 0.5**self.gentleness
        self.opt_g.param_groups[0]["lr"] = rate
        self.opt_d.param_groups[0]["lr"] = rate * self.params.discriminator_rate
        for network in (self.gan.generator, self.discriminator):
            network.train()

    def _step_generator(self, batch: Batch, done: float) -> dict[str, Tensor]:
        fake, labels = batch.fake, batch.labels
        self.discriminator.requires_grad_(False)
        judged = judged_real = self._judge(self._seen(fake, done), batch.known)
        if self.loss.paired or "feature_matching" in self.terms_g:
            judged_real = self._judge(batch.seen, batch.known)
        fake_logits = judged.logits.float()
        loss = self.loss.generator(judged_real.logits.float(), fake_logits)
        if self.params.top_k < 1:
            kept = max(1, round(top_k_share(done, self.params.top_k) * len(loss)))
            loss = loss[fake_logits.topk(kept).indices]
        mean = loss.mean()
        if judged.class_logits is not None:
            mean = mean + F.cross_entropy(judged.class_logits.float(), labels)
        # pairs of one class lie side by side, so that processes cut between them, not through
        order = torch.arange(len(labels), device=fake.device).view(-1, 2).T.reshape(-1)
        context = GeneratorContext(
            fake[order],
            batch.latents[order],
            labels[order],
            judged.features.float()[order],
            judged_real.features.float()[order],
            self.gan.generator,
        )
        for name, term in self.terms_g.items():
            mean = mean + self._weight(name, done) * term(context).mean()
        norm = self.group.descend(self.opt_g, mean)
        self.discriminator.requires_grad_(True)
        return {"loss_g": mean.detach(), "grad_norm_g": norm}

    def _judge(self, images: Tensor, labels: Tensor) -> Judgement:
        with precision_of(self.params, self.device):
            return self.discriminator.judge(images, labels)

    def _updated(self) -> None:
        """Count an update of the discriminator, and hold its weights to their bound."""
        self.updates += 1
        if self.params.weight_clip is not None:
            clip_weights(self.discriminator, self.params.weight_clip)

    def _weight(self, name: str, done: float) -> float:
        weight = float(self.weights[name])
        if name not in _SLOPES:
            return weight
        if self.params.gamma_schedule != "constant":
            weight *= _FIRST_GAMMA ** SCHEDULES[self.params.gamma_schedule](done)
        return weight * 2.0**self.gentleness

    def _seen(self, images: Tensor, done: float) -> Tensor:
        """What the discriminator sees of real and fake: augmented, and noisy at the start."""
        probability = self.ada.probability if self.ada is not None else 1.0
        images = diffaug(images, self.params.diffaug, self.draws, probability)
        if self.params.instance_noise:
            noise = self.draws.normal(len(images), *images.shape[1:])
            images = images + self.params.instance_noise * (1.0 - done) * noise
        return images


class AdversarialStep(GanStep[RealBatches]):
    """A step of a GAN whose discriminator sees real images as they are."""

    @cached_property
    def terms_d(self) -> dict[str, Callable[[DiscriminatorContext], Tensor]]:
        """The discriminator's terms that have a weight, by name."""
        return {n: t for n, t in DISCRIMINATOR_TERMS.items() if self.weights[n]}

    def step(self, done: float) -> dict[str, Tensor]:
        """Update D (``discriminator_steps`` times), then G; return scalars of this step.

        G learns of the batch that D saw last, so its fakes are made once.
        """
        self._set_rates(done)
        for _ in range(self.params.discriminator_steps):
            batch = self._batch(done)
            curves = self._step_discriminator(batch, done)
        return curves | self._step_generator(batch, done)

    def _batch(self, done: float) -> Batch:
        paired = "mode_seeking" in self.terms_g
        real, labels = self.data.batch(paired=paired)
        latents = self.draws.normal(self.size, self.params.latent_dim)
        if paired and isinstance(self.gan.generator, TranslatorGenerator):
            latents = in_pairs_of_one_content(latents)
        with precision_of(self.params, self.device):
            fake = self.gan.generator(latents, labels).float()
        known = self.data.known(labels)
        return Batch(labels, known, real, self._seen(real, done), latents, fake)

    def _step_discriminator(self, batch: Batch, done: float) -> dict[str, Tensor]:
        fake = batch.fake.detach()
        clean = torch.cat([batch.real, fake])
        images = torch.cat([batch.seen, self._seen(fake, done)])
        both = batch.known.repeat(2)
        judged, slopes = self._judge_both(images, both)
        logits = judged.logits.float()
        real_logits, fake_logits = logits.chunk(2)
        loss = self.loss.discriminator(real_logits, fake_logits)
        context = DiscriminatorContext(
            self.discriminator,
            self.params.diffaug,
            self.draws,
            images,
            clean,
            both,
            logits,
            self.memory,
            slopes,
            self.group,
        )
        mean = loss.mean()
        for name, term in self.terms_d.items():
            mean = mean + self._weight(name, done) * term(context).mean()
        if judged.class_logits is not None:
            mean = mean + F.cross_entropy(
                judged.class_logits.float().chunk(2)[0], batch.known, ignore_index=-1
            )
        norm = self.group.descend(self.opt_d, mean)
        self._updated()
        if self.ada is not None:
            gather = self.group.gather
            self.ada.update(gather(real_logits.detach()), gather(fake_logits.detach()))
        return {
            "loss_d": mean.detach(),
            "logit_real": real_logits.mean().detach(),
            "logit_fake": fake_logits.mean().detach(),
            "grad_norm_d": norm,
        }

    def _judge_both(self, images: Tensor, labels: Tensor) -> tuple[Judgement, Tensor]:
        """Judge real and fake in one pass, which is faster, unless batch norm would mix them.

        With the judgement come the squared slopes at a share of the pairs, where r1 or r2 asks.
        """
        if not self.terms_d.keys() & _SLOPES:
            if self.params.network not in BATCH_NORM:
                return self._judge(images, labels), images.new_empty(0)
            halves = zip(images.chunk(2), labels.chunk(2), strict=True)
            real, fake = (self._judge(*half) for half in halves)
            return real.joined(fake), images.new_empty(0)
        pairs = self.draws.one_of_each(self.size, self.params.penalty_block)
        rows = torch.cat([pairs, pairs + self.size])
        if self.params.slope == "exact":
            return exact_slopes(self._judge, images, labels, rows)
        shape = (len(pairs), *images.shape[1:])
        directions = torch.cat([self.draws.normal(*shape), self.draws.normal(*shape)])
        if self._judges_precisely:
            return sampled_slopes(self._judge, images, labels, rows, directions)
        probed, known = images[rows], labels[rows]
        every = torch.arange(len(rows), device=self.device)
        _, slopes = sampled_slopes(self._judge_precisely, probed, known, every, directions)
        return self._judge(images, labels), slopes

    @property
    def _judges_precisely(self) -> bool:
        """Whether the difference of two judgements is that of their images, and not of chance."""
        with precision_of(self.params, self.device):
            reduced = torch.is_autocast_enabled(self.device.type)
        return not (reduced or self.params.dropout)

    def _judge_precisely(self, images: Tensor, labels: Tensor) -> Judgement:
        """Judge in float32 and without dropout."""
        self.discriminator.dropout.eval()
        judged = self.discriminator.judge(images, labels)
        self.discriminator.dropout.train()
        return judged

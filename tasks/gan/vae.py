"""One step of the autoencoder, which has no adversary, in the shape of an adversarial one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.distributed import SOLO, Group
from tasks.gan.draws import Draws, RealBatches
from tasks.gan.model import Gan, precision_of
from tasks.gan.networks.autoencoder import VaeScore, divergence
from tasks.gan.schedules import SCHEDULES
from tasks.gan.state import optimizer_tensors, prefixed, restore_optimizer, under
from tasks.gan.step import OPTIMIZERS

_WARM_UP = 0.2  # share of training over which the prior's weight rises from 0 to 1
_FAKES = 8  # one image in so many is made and scored, for the curve alone


class VaeStep:
    """Maximises the evidence lower bound of real images under their labels.

    The prior's part is weighted by 0 to 1 at first (Bowman et al. 2016, arXiv:1511.06349,
    section 3.1), or the encoder would learn to say nothing before the decoder can listen. The
    score's decoder becomes the generator itself, so that both are trained by one optimiser.
    """

    def __init__(
        self,
        gan: Gan,
        data: RealBatches,
        params: TrainGanParams,
        draws: Draws,
        group: Group = SOLO,
    ) -> None:
        assert isinstance(gan.discriminator, VaeScore)
        self.gan, self.data, self.params, self.draws, self.group = gan, data, params, draws, group
        self.score = gan.discriminator
        self.score.decoder = gan.generator
        self.device = draws.generator.device
        self.gentleness = 0  # how often the learning rate was halved
        self.optimizer = OPTIMIZERS[params.optimizer](self.score.parameters(), params)

    def step(self, done: float) -> dict[str, Tensor]:
        """Update encoder and decoder; return scalars under the names of an adversarial step.

        ``loss_g`` and ``loss_d`` are the one loss, ``logit_real`` and ``logit_fake`` the mean
        bound of real images and of a few made ones, ``grad_norm_g`` the decoder's and
        ``grad_norm_d`` the encoder's.
        """
        rate = self.params.learning_rate * SCHEDULES[self.params.rate_schedule](done)
        self.optimizer.param_groups[0]["lr"] = rate * 0.5**self.gentleness
        images, labels = self.data.batch()
        with precision_of(self.params, self.device):
            mean, log_variance = self.score.encoder(images, labels)
            noise = self.draws.normal(len(images), self.params.latent_dim)
            latents = mean + torch.exp(log_variance / 2) * noise
            cost = divergence(mean, log_variance)
            weighted = min(1.0, done / _WARM_UP) * cost
            loss = -self.score.bound(images, labels, latents, weighted).mean()
        self.group.descend(self.optimizer, loss)
        return {
            "loss_g": loss.detach(),
            "loss_d": loss.detach(),
            "logit_real": -loss.detach(),
            "logit_fake": self._fake_bound(labels),
            "grad_norm_g": _norm(self.score.decoder),
            "grad_norm_d": _norm(self.score.encoder),
        }

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and plain values to `restore` from."""
        tensors = prefixed("optimizer", optimizer_tensors(self.optimizer))
        return tensors, {"gentleness": self.gentleness, "sampler": self.data.state()}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Go on from what `state` returned."""
        restore_optimizer(self.optimizer, under("optimizer", tensors))
        self.gentleness = facts["gentleness"]
        self.data.restore(facts["sampler"])

    @torch.no_grad()
    def _fake_bound(self, labels: Tensor) -> Tensor:
        asked = labels[: max(1, len(labels) // _FAKES)]
        latents = self.draws.normal(len(asked), self.params.latent_dim)
        with precision_of(self.params, self.device):
            bound: Tensor = self.score(self.gan.generator(latents, asked).float(), asked).mean()
        return bound


def _norm(network: nn.Module) -> Tensor:
    """Return the L2 norm of a network's gradient."""
    return torch.nn.utils.get_total_norm(
        [p.grad for p in network.parameters() if p.grad is not None]
    )

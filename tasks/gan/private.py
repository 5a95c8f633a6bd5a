"""The discriminator's step with differential privacy (DP-SGD), and the batches it learns from.

Abadi et al. 2016 (arXiv:1607.00133), algorithm 1, in the discriminator alone (Xie et al. 2018,
DPGAN, arXiv:1802.06739): units are drawn independently, each image's gradient is clipped, noise
is added to the sum. The generator sees the discriminator and no real image.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from opacus.grad_sample import GradSampleHooks
from opacus.optimizers import DPOptimizer
from torch import Tensor
from torch.nn import functional as F

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet, Labels
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.contracts.privacy import Guarantee
from tasks.gan.draws import Draws, on_device, units_of
from tasks.gan.model import Gan
from tasks.gan.step import Batch, GanStep

_PART = 128  # images whose gradients are held at once
_SECRET_BYTES = 32


def noise_secret(path: Path) -> bytes:
    """Return the secret that noise and draws follow from; it is made when it is first asked for.

    Who knows it can take the noise away again. It stays on this machine, readable by its owner
    alone, and no export holds it.

    Raises:
        UserError: what is there is no such secret.
    """
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}")  # one left by a killed run is written over
        opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            file.write(secrets.token_hex(_SECRET_BYTES) + "\n")
        beside.replace(path)
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    if re.fullmatch(f"[0-9a-f]{{{2 * _SECRET_BYTES}}}", text) is None:
        raise UserError(
            str(path),
            "is no secret of ganlift: a guarantee of privacy needs one that nobody can guess",
            "Remove it, and a new one is made; GANs that are kept stay as they are",
        )
    return bytes.fromhex(text)


def noise_generator(secret: bytes, told: str) -> np.random.Generator:
    """Return the generator of a GAN's noise and draws.

    Args:
        secret: of `noise_secret`.
        told: names the GAN, its images and its settings. Two trainings that differ in any of
            them share no noise, or their difference would hold none.
    """
    digest = hashlib.sha256(secret + told.encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


class PoissonBatches:
    """Draws each unit with one probability, independently; of a group one image.

    Args:
        train: labelled images.
        batch_size: units that a batch has on average.
        count_noise: standard deviation of noise on the counts of classes by which those of fakes
            are drawn, in units; 0 for none.
        rng: of units, of noise and of the fakes' classes; secret.
        device: where the images lie.
    """

    def __init__(
        self,
        train: ImageSet,
        *,
        batch_size: int,
        count_noise: float,
        rng: np.random.Generator,
        device: torch.device,
    ) -> None:
        self.rng = rng
        units, _ = units_of(train)
        self._order = np.argsort(units, kind="stable")
        self._size = np.bincount(units)
        self._first = np.concatenate([[0], np.cumsum(self._size)[:-1]])
        self._rate = batch_size / len(self._size)
        self._labels = train.labels
        self._images = on_device(device, train)
        # a unit counts as 1 in all, so that one more or less changes this by a norm of at most 1
        counts = np.bincount(
            self._labels, weights=1 / self._size[units], minlength=len(train.class_names)
        )
        if count_noise:
            counts = np.maximum(counts + count_noise * rng.standard_normal(len(counts)), 1.0)
        self._edges = np.cumsum(counts) / counts.sum()

    def batch(self) -> tuple[Tensor, Tensor]:
        """Return images ``[M, C, H, W]`` in -1..1 and labels ``[M]``; M differs and may be 0."""
        drawn = np.flatnonzero(self.rng.random(len(self._size)) < self._rate)
        place = (self.rng.random(len(drawn)) * self._size[drawn]).astype(np.int64)
        rows = self._order[self._first[drawn] + place]
        images = self._images[torch.from_numpy(rows).to(self._images.device)]
        labels = torch.from_numpy(self._labels[rows]).to(images.device)
        return images.float() / 127.5 - 1.0, labels

    def asked(self, count: int, paired: bool = False) -> Tensor:
        """Return labels ``[count]`` for fakes; where ``paired``, 2i and 2i + 1 are the same."""
        many = count // 2 if paired else count
        drawn: Labels = np.searchsorted(self._edges, self.rng.random(many), side="right")
        drawn = np.minimum(drawn, len(self._edges) - 1)  # the last edge may be rounded below 1
        labels = torch.from_numpy(drawn.astype(np.int64)).to(self._images.device)
        return labels.repeat_interleave(2) if paired else labels

    def state(self) -> dict[str, Any]:
        """Return where the draws stand, as plain values."""
        return dict(self.rng.bit_generator.state)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on drawing from where ``state`` stood."""
        self.rng.bit_generator.state = state


class SecretNoise(DPOptimizer):  # type: ignore[misc]  # Opacus has no types
    """Opacus' optimiser with noise from a secret generator of 128 bits.

    Torch's generator of the CPU is seeded by 32 of them, which can be tried one after the other.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        guarantee: Guarantee,
        batch_size: int,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=guarantee.noise_multiplier,
            max_grad_norm=guarantee.max_grad_norm,
            expected_batch_size=batch_size,
        )
        self._rng = rng

    def add_noise(self) -> None:
        """Put the clipped and summed gradients with noise into ``grad``."""
        for parameter in self.params:
            noise = self._rng.standard_normal(tuple(parameter.shape), dtype=np.float32)
            noise *= self.noise_multiplier * self.max_grad_norm
            summed = parameter.summed_grad
            parameter.grad = summed + torch.from_numpy(noise).to(summed.device)


class PrivateStep(GanStep[PoissonBatches]):
    """A step of a GAN whose discriminator learns of real images by clipped, noisy gradients.

    Fakes are no secret; their gradients are clipped too, or they would outweigh the reals.
    """

    def __init__(
        self,
        gan: Gan,
        batches: PoissonBatches,
        params: TrainGanParams,
        draws: Draws,
        guarantee: Guarantee,
    ) -> None:
        super().__init__(gan, batches, params, draws)
        self._hooks = GradSampleHooks(self.discriminator, loss_reduction="sum")
        self._hooks.disable_hooks()
        self.discriminator.to(memory_format=torch.contiguous_format)  # what Opacus unfolds
        self._noisy = SecretNoise(self.opt_d, guarantee, self.size, batches.rng)
        self.opt_d = self._noisy

    def step(self, done: float) -> dict[str, Tensor]:
        """Update D ``discriminator_steps`` times, then G, which learns of the last fakes."""
        self._set_rates(done)
        for left in reversed(range(self.params.discriminator_steps)):
            labels = self.data.asked(self.size, paired="mode_seeking" in self.terms_g)
            latents = self.draws.normal(self.size, self.params.latent_dim)
            with torch.set_grad_enabled(left == 0):
                fake = self.gan.generator(latents, labels).float()
            curves = self._learn(*self.data.batch(), fake.detach(), labels, done)
        none = fake.new_empty(0, *fake.shape[1:])
        return curves | self._step_generator(Batch(labels, labels, none, none, latents, fake), done)

    def _learn(
        self, real: Tensor, known: Tensor, fake: Tensor, labels: Tensor, done: float
    ) -> dict[str, Tensor]:
        """Update D on reals ``[M, ...]`` and fakes ``[N, ...]``, some images at a time.

        Returns:
            Means over the images, which no noise hides: they are for the owner's eyes.
        """
        images = torch.cat([self._seen(real, done), self._seen(fake, done)])
        classes = torch.cat([known, labels])
        is_real = torch.arange(len(images), device=images.device) < len(real)
        sums = torch.zeros(3, device=images.device)
        self._hooks.enable_hooks()
        parts = torch.split(torch.arange(len(images), device=images.device), _PART)
        for rows in parts:
            self._noisy.signal_skip_step(rows is not parts[-1])
            self._noisy.zero_grad()
            judged = self._judge(images[rows], classes[rows])
            losses = self._losses(judged.logits, is_real[rows])
            if judged.class_logits is not None:
                unlike = F.cross_entropy(judged.class_logits, classes[rows], reduction="none")
                losses = losses + unlike * is_real[rows]
            with warnings.catch_warnings():  # that images have no gradient, which none needs
                warnings.filterwarnings("ignore", "Full backward hook", UserWarning)
                losses.sum().backward()  # type: ignore[no-untyped-call]
            self._noisy.step()
            logits, mine = judged.logits.detach(), is_real[rows]
            sums += torch.stack([losses.detach().sum(), logits[mine].sum(), logits[~mine].sum()])
        self._hooks.disable_hooks()
        self._updated()
        return {
            "loss_d": sums[0] / len(fake),
            "logit_real": sums[1] / max(1, len(real)),
            "logit_fake": sums[2] / len(fake),
            "grad_norm_d": torch.nn.utils.get_total_norm([p.grad for p in self._noisy.params]),
        }

    def _losses(self, logits: Tensor, is_real: Tensor) -> Tensor:
        """Return the part of the loss that is each image's own, ``[N]``.

        The losses that are allowed here are a sum of one of the real and one of the fake logit,
        so that the other may be held still.
        """
        still = torch.zeros_like(logits)
        loss = self.loss.discriminator
        own = torch.where(is_real, loss(logits, still), loss(still, logits))
        return own - loss(still, still) / 2

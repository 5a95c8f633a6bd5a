"""The training loop of one GAN: a generator of ticks that logs nothing itself."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import Images, ImageSet
from tasks.contracts.params import TrainGanParams
from tasks.data.batches import BalancedSampler, to_tensor
from tasks.gan.diffaug import diffaug
from tasks.gan.ema import ema_decay, update_ema
from tasks.gan.losses import LOSSES
from tasks.gan.networks import NETWORKS
from tasks.gan.penalties import gradient_penalty, mode_seeking
from tasks.gan.sampling import sample_grid


@dataclass(frozen=True)
class Tick:
    """What happened since the last tick: means over its steps.

    Attributes:
        kimg: thousands of real images shown so far.
        curves: loss_g, loss_d, logit_real, logit_fake (means), grad_norm_g, grad_norm_d (L2).
        images_per_second: real images shown per second of wall time.
        grid: a picture uint8 ``[H, W, C]``, one row a class, when due.
    """

    kimg: float
    curves: dict[str, float]
    images_per_second: float
    grid: Images | None


@dataclass
class Gan:
    """The networks of one run; `ema` is the generator that is kept."""

    generator: nn.Module
    discriminator: nn.Module
    ema: nn.Module


def build_gan(train: ImageSet, params: TrainGanParams, seed: int) -> Gan:
    """Build untrained networks for the images' size, channels and classes."""
    torch.manual_seed(seed)
    pair = NETWORKS[params.network]
    size, _, channels = train.image_shape
    shape = {"image_size": size, "channels": channels, "classes": len(train.class_names)}
    generator = pair.generator(**shape, latent_dim=params.latent_dim, width=params.width)
    discriminator = pair.discriminator(**shape, width=params.width)
    ema = copy.deepcopy(generator).requires_grad_(False).eval()
    return Gan(generator, discriminator, ema)


def train_gan(gan: Gan, train: ImageSet, params: TrainGanParams, seed: int) -> Iterator[Tick]:
    """Train `gan` in place for ``params.total_kimg``, yielding a `Tick` every ``tick_kimg``.

    Classes are drawn equally often, whatever their counts; each fake is paired with a real of
    its class. Both learning rates fall to zero over the second half, on a cosine.

    Raises:
        UserError: a loss, logit or gradient is no longer a finite number.
    """
    steps = max(1, round(params.total_kimg * 1000 / params.batch_size))
    step_kimg = params.batch_size / 1000
    trainer = _Trainer(gan, train, params, seed, steps)
    sums: dict[str, Tensor] = {}
    ticks_done, grids_done, since, shown = 0, 0, time.perf_counter(), 0
    for step in range(1, steps + 1):
        for name, value in trainer.step(step).items():
            sums[name] = sums.get(name, torch.zeros(())) + value
        shown += 1
        kimg = step * step_kimg
        if kimg >= (ticks_done + 1) * params.tick_kimg or step == steps:
            ticks_done = int(kimg / params.tick_kimg)
            curves = {name: float(value) / shown for name, value in sums.items()}
            _check_finite(curves, kimg)
            grid = None
            if kimg >= (grids_done + 1) * params.grid_kimg or step == steps:
                grids_done = int(kimg / params.grid_kimg)
                grid = sample_grid(gan.ema, len(train.class_names))
            now = time.perf_counter()
            speed = shown * params.batch_size / (now - since)
            yield Tick(kimg, curves, speed, grid)
            sums, since, shown = {}, now, 0


class _Trainer:
    """One GAN's optimisers, data and random state, and what one step does with them."""

    def __init__(
        self, gan: Gan, train: ImageSet, params: TrainGanParams, seed: int, steps: int
    ) -> None:
        self.gan, self.params, self.steps = gan, params, steps
        self.images = to_tensor(train.images)
        self.sampler = BalancedSampler(train.labels, np.random.default_rng([seed, 1]))
        self.random = torch.Generator().manual_seed(seed)
        self.loss = LOSSES[params.loss]
        settings = {"lr": params.learning_rate, "betas": (0.0, params.beta2), "foreach": True}
        self.opt_g = torch.optim.Adam(gan.generator.parameters(), **settings)  # type: ignore[arg-type]
        self.opt_d = torch.optim.Adam(gan.discriminator.parameters(), **settings)  # type: ignore[arg-type]

    def step(self, step: int) -> dict[str, Tensor]:
        """Update D, then G, then the average; return scalars to be averaged over a tick."""
        done = (step - 1) / self.steps
        rate = self.params.learning_rate * 0.5 * (1 + np.cos(np.pi * max(0.0, 2 * done - 1)))
        for optimizer in (self.opt_d, self.opt_g):
            optimizer.param_groups[0]["lr"] = rate
        curves = self._step_discriminator() | self._step_generator()
        size = self.params.batch_size
        decay = ema_decay(step * size, size, self.params.ema_halflife_kimg)
        update_ema(self.gan.ema, self.gan.generator, decay)
        return curves

    def _step_discriminator(self) -> dict[str, Tensor]:
        p, labels = self.params, self._labels()
        with torch.no_grad():
            fake = self.gan.generator(self._latents(len(labels)), labels)
        # one pass for both: nothing in the network mixes images, and a large batch is faster
        images = torch.cat([self._augment(self._real(labels)), self._augment(fake)])
        images.requires_grad_(True)
        logits = self.gan.discriminator(images, labels.repeat(2))
        real_logits, fake_logits = logits.chunk(2)
        loss = self.loss.discriminator(real_logits, fake_logits)
        if p.r1_gamma or p.r2_gamma:
            r1, r2 = gradient_penalty(logits, images).chunk(2)
            loss = loss + p.r1_gamma / 2 * r1 + p.r2_gamma / 2 * r2
        norm = _update(self.opt_d, loss.mean())
        return {
            "loss_d": loss.mean().detach(),
            "logit_real": real_logits.mean().detach(),
            "logit_fake": fake_logits.mean().detach(),
            "grad_norm_d": norm,
        }

    def _step_generator(self) -> dict[str, Tensor]:
        half = self._labels()[: self.params.batch_size // 2]
        labels = torch.cat([half, half])  # pairs of one class, for the mode-seeking term
        latents = self._latents(len(labels))
        fake = self.gan.generator(latents, labels)
        with torch.no_grad():
            real_logits = self.gan.discriminator(self._augment(self._real(labels)), labels)
        self.gan.discriminator.requires_grad_(False)
        fake_logits = self.gan.discriminator(self._augment(fake), labels)
        loss = self.loss.generator(real_logits, fake_logits).mean()
        if self.params.mode_seeking:
            loss = loss + self.params.mode_seeking * mode_seeking(fake, latents).mean()
        norm = _update(self.opt_g, loss)
        self.gan.discriminator.requires_grad_(True)
        return {"loss_g": loss.detach(), "grad_norm_g": norm}

    def _labels(self) -> Tensor:
        return torch.from_numpy(self.sampler.labels(self.params.batch_size))

    def _real(self, labels: Tensor) -> Tensor:
        return self.images[torch.from_numpy(self.sampler.rows_of(labels.numpy()))]

    def _latents(self, size: int) -> Tensor:
        return torch.randn((size, self.params.latent_dim), generator=self.random)

    def _augment(self, images: Tensor) -> Tensor:
        return diffaug(images, self.params.diffaug, self.random)


def _check_finite(curves: dict[str, float], kimg: float) -> None:
    broken = [name for name, value in curves.items() if not math.isfinite(value)]
    if broken:
        raise UserError(
            "train_gan",
            f"the GAN diverged within {kimg:g} kimg: {broken[0]} is no finite number",
            "Lower train_gan.learning_rate or raise train_gan.r1_gamma and r2_gamma",
        )


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """Take one step and return the L2 norm of the gradient."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    parameters = optimizer.param_groups[0]["params"]
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    optimizer.step()
    return norm

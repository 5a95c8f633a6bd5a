"""A training run: its networks, random states and history, as one thing to save and restore."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tasks.contracts.evaluation import GanEvaluation
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.distributed import Group
from tasks.gan.draws import Draws
from tasks.gan.ema import ema_decay, update_ema
from tasks.gan.health import Watch
from tasks.gan.model import Gan
from tasks.gan.real_batches import RealBatches
from tasks.gan.state import Snapshot, prefixed, under
from tasks.gan.step import AdversarialStep
from tasks.gan.ticks import Tick, evaluation_from, evaluation_values, tick_from, tick_values
from tasks.gan.vae import VaeStep

_NETWORKS = ("generator", "discriminator", "ema")
_KEPT = ("discriminator", "ema")


class Run:
    """Everything that moves while one GAN trains.

    Attributes:
        steps: steps done; a rollback takes some back.
        watch: what has been seen of the run's health.
        best: the best evaluation so far, None before the first.
        best_kimg: when it was.
        hopeless: whether the run was given up.
        ticks: what was yielded so far.
    """

    def __init__(
        self,
        gan: Gan,
        train: ImageSet,
        unlabelled: ImageSet | None,
        params: TrainGanParams,
        seed: int,
        group: Group,
    ) -> None:
        self.gan, self.params, self.group = gan, params, group
        device = self._device = next(gan.generator.parameters()).device
        self._random = torch.Generator(device).manual_seed(seed)
        draws = Draws(self._random, group.rank, group.world)
        data = RealBatches(
            train,
            unlabelled,
            batch_size=params.batch_size,
            balanced=params.balanced,
            seed=seed,
            device=device,
            rank=group.rank,
            world=group.world,
        )
        kind = VaeStep if params.network == "vae" else AdversarialStep
        self._step: AdversarialStep | VaeStep = kind(gan, data, params, draws, group)
        self._seed, self.steps = seed, 0
        self._minutes = 0.0
        self.watch = Watch(params.health)
        self.best: GanEvaluation | None = None
        self.best_kimg = 0.0
        self._best_weights: dict[str, Tensor] = {}
        self.hopeless = False
        self.ticks: list[Tick] = []

    @property
    def kimg(self) -> float:
        """Thousands of real images shown."""
        return self.steps * self.params.batch_size / 1000

    @property
    def done(self) -> float:
        """The share of the budget that is spent, 0..1."""
        if self.params.total_minutes is not None:
            return min(1.0, self._minutes / self.params.total_minutes)
        return min(1.0, self.steps / self._total_steps)

    @property
    def ended(self) -> bool:
        """Whether nothing is left to train."""
        return self.hopeless or self.done >= 1.0

    def train_tick(self) -> dict[str, float]:
        """Train until the next tick is due or the budget is spent; return means over its steps."""
        first, sums = self.kimg, dict[str, Tensor]()
        shown = 0
        with self._own_randomness():
            while True:
                began = time.perf_counter()
                for name, value in self._one_step().items():
                    sums[name] = sums[name] + value if name in sums else value
                shown += 1
                minutes = self._minutes + (time.perf_counter() - began) / 60
                self._minutes = self._agreed(minutes)
                if self.ended or due(first, self.kimg, self.params.tick_kimg):
                    break
        means = torch.stack(list(sums.values())).float() / shown
        self.group.average([means])
        return dict(zip(sums, means.double().tolist(), strict=True))

    def soften(self, times: int) -> None:
        """Go on with settings gentler by ``times`` halvings of the learning rate."""
        self._step.gentleness = times

    def keep(self, evaluation: GanEvaluation) -> None:
        """Remember the present averaged generator and discriminator as the best so far."""
        self.best, self.best_kimg = evaluation, self.kimg
        for name in _KEPT:
            self._best_weights |= prefixed(name, getattr(self.gan, name).state_dict())

    def settle(self) -> None:
        """Put the best networks in place of the last, where the run was evaluated."""
        if self.best is None:
            self.best_kimg = self.kimg
            return
        for name in _KEPT:
            getattr(self.gan, name).load_state_dict(under(name, self._best_weights))

    def position(self) -> Snapshot:
        """Return what a rollback needs: everything that a step changes."""
        tensors, facts = self._step.state()
        for name in _NETWORKS:
            tensors |= prefixed(name, getattr(self.gan, name).state_dict())
        tensors |= {"random": self._random.get_state()}
        return Snapshot(tensors, {"step": facts, "steps": self.steps})

    def go_back(self, position: Snapshot) -> None:
        """Return to a `position`."""
        for name in _NETWORKS:
            getattr(self.gan, name).load_state_dict(under(name, position.tensors))
        self._step.restore(position.tensors, position.facts["step"])
        self._random.set_state(position.tensors["random"])
        self.steps = position.facts["steps"]

    def snapshot(self, position: Snapshot) -> Snapshot:
        """Return what another process needs to go on from ``position`` (the present one)."""
        tensors = position.tensors | prefixed("best", self._best_weights)
        ticks: list[dict[str, Any]] = []
        for number, tick in enumerate(self.ticks):
            ticks.append(tick_values(tick))
            if tick.grid is not None:
                tensors[f"grid.{number}"] = torch.from_numpy(tick.grid)
        watch = self.watch
        facts = position.facts | {
            "minutes": self._minutes,
            "best": evaluation_values(self.best),
            "best_kimg": self.best_kimg,
            "hopeless": self.hopeless,
            "watch": [watch.rollbacks, list(watch.collapsed), watch.in_a_row, watch.events],
            "ticks": ticks,
        }
        return Snapshot(tensors, facts)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a `snapshot`."""
        self.go_back(snapshot)
        facts = snapshot.facts
        self._minutes, self.hopeless = facts["minutes"], facts["hopeless"]
        self.best, self.best_kimg = evaluation_from(facts["best"]), facts["best_kimg"]
        self._best_weights = under("best", snapshot.tensors)
        rollbacks, collapsed, in_a_row, events = facts["watch"]
        self.watch = Watch(self.params.health, rollbacks, tuple(collapsed), in_a_row, list(events))
        grids = under("grid", snapshot.tensors)
        self.ticks = [
            tick_from(values, grids[str(number)].numpy() if str(number) in grids else None)
            for number, values in enumerate(facts["ticks"])
        ]

    @property
    def _total_steps(self) -> int:
        assert self.params.total_kimg is not None
        return max(1, round(self.params.total_kimg * 1000 / self.params.batch_size))

    def _one_step(self) -> dict[str, Tensor]:
        done = self.done
        for network in (self.gan.generator, self.gan.discriminator):
            if (grow := getattr(network, "set_progress", None)) is not None:
                grow(done)
        curves = self._step.step(done)
        self.steps += 1
        size = self.params.batch_size
        decay = ema_decay(self.steps * size, size, self.params.ema_halflife_kimg)
        update_ema(self.gan.ema, self.gan.generator, decay)
        return curves

    def _agreed(self, minutes: float) -> float:
        """One clock for all processes, asked only where the clock ends the run."""
        return minutes if self.params.total_minutes is None else self.group.agree(minutes)

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Lend torch's global state to dropout, style noise and style mixing for one tick.

        It follows from seed, process and step alone, so there is nothing of it to save.
        """
        gpu = [self._device] if self._device.type == "cuda" else []
        own = np.random.SeedSequence([self._seed, self.group.rank, self.steps]).generate_state(1)
        with torch.random.fork_rng(devices=gpu):
            torch.manual_seed(int(own[0]))
            yield


def due(before: float, now: float, every: float) -> bool:
    """Whether a multiple of ``every`` lies in (before, now]."""
    return int(now / every + 1e-9) > int(before / every + 1e-9)

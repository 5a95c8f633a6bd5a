"""The training of one GAN: a generator of ticks that logs nothing itself, and can be resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor

from tasks.contracts.errors import UserError
from tasks.contracts.evaluation import Evaluate, GanEvaluation
from tasks.contracts.image_set import Images, ImageSet, Labels
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.contracts.privacy import Guarantee
from tasks.gan.distributed import SOLO, Group
from tasks.gan.draws import Draws, RealBatches, in_two_domains, units_of, with_related
from tasks.gan.health import Watch, burst, collapsed_classes, divergence, is_better, standstill
from tasks.gan.model import Gan, ema_decay, update_ema
from tasks.gan.pictures import sample_grid
from tasks.gan.sampling import sample
from tasks.gan.state import (
    GanOutcome,
    Snapshot,
    StateFolder,
    Tick,
    prefixed,
    under,
)
from tasks.gan.step import AdversarialStep
from tasks.gan.vae import VaeStep

if TYPE_CHECKING:
    from tasks.gan.private import PrivateStep

_JUDGED = 2**62  # where the latent seeds of images that are made to be judged begin
_NETWORKS = ("generator", "discriminator", "ema")
_KEPT = ("discriminator", "ema")
_TICKS = TypeAdapter(list[Tick])


def train_gan(
    gan: Gan,
    train: ImageSet,
    params: TrainGanParams,
    seed: int,
    *,
    unlabelled: ImageSet | None = None,
    other_domain: ImageSet | None = None,
    related: ImageSet | None = None,
    evaluate: Evaluate | None = None,
    states: StateFolder | None = None,
    group: Group = SOLO,
    secret: tuple[bytes, str] | None = None,
) -> Iterator[Tick | GanOutcome]:
    """Train `gan` in place, yielding a `Tick` every ``tick_kimg`` and at the end the `GanOutcome`.

    The budget is ``total_kimg``, or ``total_minutes`` by the clock. Each fake is paired with a
    real of its class. In the end `gan.ema` and `gan.discriminator` are those of the best
    evaluation by ``evaluation.keep``, or the last where nothing was evaluated.

    Args:
        gan: fresh networks of `build_gan`.
        train: labelled images.
        params: the section; its seeds are not read.
        seed: of every draw.
        unlabelled: images for the unconditional part of the discriminator.
        other_domain: images of the same classes, of a domain that `gan` knows beside.
        related: images of classes that `gan` knows beside.
        evaluate: judges images of the averaged generator, every ``evaluation.every_kimg``; of
            several processes, only the first has one.
        states: where the state is kept; a run found there goes on, and its ticks so far are
            yielded again first.
        group: the processes that share a batch.
        secret: of private training, what noise and draws follow from: the arguments of
            `tasks.gan.private.noise_generator`.

    Raises:
        UserError: the run diverged more than ``health.max_rollbacks`` times, or once where it is
            private; or `tasks.gan.accounting.guarantee_of` refuses it.
    """
    known = train if other_domain is None else in_two_domains(train, other_domain)
    if related is not None:
        known = with_related(known, related)
    own = len(train.class_names)
    domain, asked = (None if beside is None else own for beside in (other_domain, related))
    run = Run(gan, known, unlabelled, params, seed, group, domain, asked, secret)
    found = states.load() if states is not None else None
    if group.rank > 0:
        states = None  # the first process writes for all
    if found is not None:
        run.restore(found)
        yield from run.ticks
    good = run.position()
    while not run.ended:
        before, since = run.kimg, time.perf_counter()
        curves = run.train_tick()
        speed = (run.kimg - before) * 1000 / (time.perf_counter() - since)
        reason = divergence(curves, params.health) or standstill(run.last_gradient)
        if reason is None and run.may_go_back:  # what it can live with where none is left
            reason = burst(curves, [tick.curves for tick in run.ticks], params.health)
        if reason is not None:
            _roll_back(run, good, reason)
            continue
        grid = None
        if run.ended or due(before, run.kimg, params.grid_kimg):
            grid = sample_grid(gan.ema, train.class_names).png()
        evaluation = None
        if run.ended or due(before, run.kimg, params.evaluation.every_kimg):
            evaluation = _judge(run, evaluate)
            run.hopeless = bool(group.agree(run.hopeless))
        curves |= run.spent()
        tick = Tick(run.kimg, run.done, curves, speed, grid, evaluation)
        run.ticks.append(tick)
        good = run.position()
        if states is not None and (run.ended or due(before, run.kimg, params.state_kimg)):
            states.save(run.snapshot(good), run.steps)
        yield tick
    run.settle()
    yield GanOutcome(
        kept_kimg=run.best_kimg,
        evaluation=run.best,
        collapsed=() if run.best is None else collapsed_classes(run.best, params.health),
        rollbacks=run.watch.rollbacks,
        stopped_early=run.hopeless,
        events=tuple(run.watch.events),
        guarantee=run.guarantee,
    )


def _roll_back(run: Run, good: Snapshot, reason: str) -> None:
    if not run.may_go_back:
        raise UserError(
            "train_gan",
            f"the GAN diverged within {run.kimg:g} kimg ({reason}), after {run.watch.rollbacks} "
            "rollbacks to gentler settings",
            "Lower train_gan.learning_rate"
            + ("" if run.params.private else " or raise train_gan.penalties.r1 and r2"),
        )
    run.watch.roll_back(run.kimg, reason)
    run.go_back(good)
    run.soften(run.watch.rollbacks)


def _judge(run: Run, evaluate: Evaluate | None) -> GanEvaluation | None:
    """Evaluate the averaged generator, keep it if it is the best, see whether there is hope."""
    if evaluate is None:
        return None

    def make(labels: Labels) -> Images:
        return sample(run.gan.ema, labels, _JUDGED + np.arange(len(labels), dtype=np.int64))

    evaluation = evaluate(make)
    if is_better(run.params.evaluation.keep, evaluation, run.best):
        run.keep(evaluation)
    hopeless = run.watch.evaluated(run.kimg, evaluation)
    run.hopeless = hopeless and not run.params.private  # when it ends may not depend on real/val
    return evaluation


class Run:
    """Everything that moves while one GAN trains.

    Attributes:
        steps: steps done; a rollback takes some back.
        watch: what has been seen of the run's health.
        best: the best evaluation so far, None before the first.
        best_kimg: when it was.
        hopeless: whether the run was given up.
        ticks: what was yielded so far.
        last_gradient: the generator's (L2), of the last step of a tick.
    """

    def __init__(
        self,
        gan: Gan,
        train: ImageSet,
        unlabelled: ImageSet | None,
        params: TrainGanParams,
        seed: int,
        group: Group,
        domain: int | None,
        asked: int | None,
        secret: tuple[bytes, str] | None,
    ) -> None:
        self.gan, self.params, self.group = gan, params, group
        device = self._device = next(gan.generator.parameters()).device
        self._random = torch.Generator(device).manual_seed(seed)
        draws = Draws(self._random, group.rank, group.world)
        self.guarantee: Guarantee | None = None
        self._step: AdversarialStep | VaeStep | PrivateStep
        if params.private:
            assert secret is not None
            self._step = self._private(train, draws, secret)
        else:
            data = RealBatches(
                train,
                unlabelled,
                batch_size=params.batch_size,
                balanced=params.balanced,
                seed=seed,
                device=device,
                domain=domain,
                asked=asked,
                rank=group.rank,
                world=group.world,
            )
            kind = VaeStep if params.network == "vae" else AdversarialStep
            self._step = kind(gan, data, params, draws, group)
        self._seed, self.steps = seed, 0
        self._minutes = 0.0
        self.watch = Watch(params.health)
        self.best: GanEvaluation | None = None
        self.best_kimg = 0.0
        self._best_weights: dict[str, Tensor] = {}
        self.hopeless = False
        self.ticks: list[Tick] = []
        self.last_gradient = math.inf

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

    @property
    def may_go_back(self) -> bool:
        """Whether a rollback is left, and time to train again; private training has none.

        A step that is taken again would be spent twice, and that it is tells of real images.
        """
        late = self.params.total_minutes is not None and self.ended
        return self.watch.may_roll_back and not late and not self.params.private

    def train_tick(self) -> dict[str, float]:
        """Train until the next tick is due or the budget is spent; return means over its steps."""
        first, sums = self.kimg, dict[str, Tensor]()
        shown = 0
        with self._own_randomness():
            while True:
                began = time.perf_counter()
                told = self._one_step()
                for name, value in told.items():
                    sums[name] = sums[name] + value if name in sums else value
                shown += 1
                minutes = self._minutes + (time.perf_counter() - began) / 60
                self._minutes = self._agreed(minutes)
                if self.ended or due(first, self.kimg, self.params.tick_kimg):
                    break
        self.last_gradient = self.group.agree(float(told["grad_norm_g"]))
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
        watch = self.watch
        facts = position.facts | {
            "minutes": self._minutes,
            "best": None if self.best is None else asdict(self.best),
            "best_kimg": self.best_kimg,
            "hopeless": self.hopeless,
            "watch": [watch.rollbacks, list(watch.collapsed), watch.in_a_row, watch.events],
            "ticks": _TICKS.dump_python(self.ticks, mode="json"),
        }
        grids = {n: tick.grid for n, tick in enumerate(self.ticks) if tick.grid is not None}
        return Snapshot(tensors, facts, grids)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a `snapshot`."""
        self.go_back(snapshot)
        facts = snapshot.facts
        self._minutes, self.hopeless = facts["minutes"], facts["hopeless"]
        self.best, self.best_kimg = (
            TypeAdapter(GanEvaluation | None).validate_python(facts["best"]),
            facts["best_kimg"],
        )
        self._best_weights = under("best", snapshot.tensors)
        rollbacks, collapsed, in_a_row, events = facts["watch"]
        self.watch = Watch(self.params.health, rollbacks, tuple(collapsed), in_a_row, list(events))
        ticks = enumerate(_TICKS.validate_python(facts["ticks"]))
        self.ticks = [replace(tick, grid=snapshot.grids.get(number)) for number, tick in ticks]

    def spent(self) -> dict[str, float]:
        """Return under ``epsilon`` what private training has spent so far, otherwise nothing."""
        if self.guarantee is None:
            return {}
        from tasks.gan.accounting import spent

        return {"epsilon": spent(self.guarantee, self.steps * self.params.discriminator_steps)}

    def _private(self, train: ImageSet, draws: Draws, secret: tuple[bytes, str]) -> PrivateStep:
        """Settle the guarantee, and return the step that keeps it."""
        from tasks.gan.accounting import guarantee_of  # Opacus takes seconds to import
        from tasks.gan.private import PoissonBatches, PrivateStep, noise_generator

        p = self.params
        units, unit = units_of(train)
        steps = self._total_steps * p.discriminator_steps
        count = int(units.max()) + 1
        guarantee = self.guarantee = guarantee_of(p.privacy, count, p.batch_size, steps, unit)
        batches = PoissonBatches(
            train,
            batch_size=p.batch_size,
            count_noise=guarantee.count_noise,
            rng=noise_generator(*secret),
            device=self._device,
        )
        return PrivateStep(self.gan, batches, p, draws, guarantee)

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

"""How often the interval holds the truth, on simulated runs whose true lift is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import norm

from tasks.lift.intervals import Replicated, interval, noise
from tasks.lift.resampling import draw_runs, image_weights

RESAMPLES, SETS, CLASSES, IMAGES = 2000, 1000, 10, 780
AT_ONCE = 20  # sets that are weighted together: one by one, reading the weights is what takes long


@dataclass(frozen=True)
class World:
    """Probit units; with the default the noises are those of the built-in digits.

    A classifier is right where ability minus the difficulty of the image is above 0.
    """

    gans: int
    runs_a_gan: int
    effect: float = 0.0
    gan: float = 0.08  # luck of a GAN
    gan_image: float = 0.25  # what a GAN does to single images
    run: float = 0.03  # luck of a classifier seed
    run_image: float = 0.35
    difficulty: float = 1.7
    ability: float = 3.2

    @property
    def lift(self) -> float:
        """The true one in percentage points, over all GANs, seeds and images."""
        base = self.difficulty**2 + 2 * self.run**2 + self.run_image**2
        treated = base + self.gan**2 + self.gan_image**2
        return 100.0 * float(
            norm.cdf((self.ability + self.effect) / np.sqrt(treated))
            - norm.cdf(self.ability / np.sqrt(base))
        )

    def hits(self, rng):
        """The difference in hits of each run and image ``[S, N]``."""
        gan_of = np.arange(self.gans * self.runs_a_gan) % self.gans
        images, runs = (1, IMAGES), (len(gan_of), 1)
        both = (len(gan_of), IMAGES)
        shared = rng.normal(self.ability, self.difficulty, images) + rng.normal(0, self.run, runs)
        base = shared + rng.normal(0, self.run, runs) + rng.normal(0, self.run_image, both)
        treated = shared + rng.normal(0, self.run, runs) + rng.normal(0, self.run_image, both)
        treated += self.effect + rng.normal(0, self.gan, (self.gans, 1))[gan_of]
        treated += rng.normal(0, self.gan_image, (self.gans, IMAGES))[gan_of]
        return (treated > 0).astype(float) - (base > 0)


def held(world, seed):
    """Share of simulated data sets whose 95 % interval holds the true lift, in percent."""
    rng = np.random.default_rng(seed)
    runs = world.gans * world.runs_a_gan
    gan_of = tuple(range(world.gans)) * world.runs_a_gan
    labels = np.repeat(np.arange(CLASSES), IMAGES // CLASSES)
    weights = np.concatenate(list(image_weights(labels, np.arange(IMAGES), RESAMPLES, seed)))
    draws = draw_runs(gan_of, runs, RESAMPLES, seed)
    inside, true = 0, world.lift
    for _ in range(SETS // AT_ONCE):
        # classes are equal, so this is balanced accuracy
        sets = [100.0 * world.hits(rng) / IMAGES for _ in range(AT_ONCE)]
        weighted = np.split(weights @ np.concatenate(sets).T, AT_ONCE, axis=1)
        for hits, resampled in zip(sets, weighted, strict=True):
            lifts = Replicated(hits.sum(axis=1), resampled)
            noises = noise(lifts.over(draws), IMAGES - CLASSES)
            found = interval(lifts.observed.mean(), noises, 0.95)
            inside += found.low <= true <= found.high
    return 100.0 * inside / SETS


@pytest.mark.parametrize(
    "world",
    [World(4, 2), World(8, 1), World(4, 2, effect=0.3), World(4, 2, gan=0.2), World(8, 1, gan=0.2)],
    ids=["4x2", "8x1", "4x2 that helps", "4x2 GANs that differ", "8x1 GANs that differ"],
)
def test_intervals_hold_the_truth_as_often_as_they_say(world):
    assert 93.0 <= held(world, seed=11) <= 97.0


@pytest.mark.parametrize(
    "world",
    [World(2, 4), World(2, 4, gan=0.1), World(2, 4, gan=0.2)],
    ids=["alike", "that differ", "that differ much"],
)
def test_intervals_from_two_gans_hold_the_truth_no_less_often(world):
    """One degree of freedom: the interval may be wider than it had to be, never narrower."""
    assert held(world, seed=11) >= 93.0

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tasks.gan.sampling import latents_of, sample
from tests.gan.tiny_networks import grown_pair, tiny_spec


@pytest.fixture(params=[("conv", 8), ("conv", 32), ("dcgan", 8), ("stylegan", 16)])
def generator(request: pytest.FixtureRequest) -> nn.Module:
    name, size = request.param
    spec = tiny_spec(name, image_size=size, channels=3, width=8, latent_dim=6)
    return grown_pair(spec)[0]


def test_an_image_is_the_same_whatever_else_is_asked_for(generator: nn.Module) -> None:
    rng = np.random.default_rng(0)
    labels, seeds = rng.integers(0, 3, 150), rng.integers(0, 2**60, 150)
    whole = sample(generator, labels, seeds)
    for rows in ([0], [149], [64], [3, 2], range(63), range(20, 85), rng.permutation(150)):
        index = np.array(rows)
        part = sample(generator, labels[index], seeds[index])
        np.testing.assert_array_equal(part, whole[index])


class Rounding(nn.Module):
    """Stands for arithmetic that differs with the number of images in a batch."""

    latent_dim = 2

    def forward(self, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.full((len(latents), 1, 8, 8), len(latents) / 100)


def test_the_size_of_the_last_batch_has_no_say() -> None:
    sizes = (1, 63, 64, 65, 130)
    made = [sample(Rounding(), np.zeros(n, np.int64), np.arange(n)) for n in sizes]
    assert [len(images) for images in made] == list(sizes)
    assert len({int(level) for images in made for level in np.unique(images)}) == 1


def test_labels_and_seeds_both_make_the_image(generator: nn.Module) -> None:
    labels, seeds = np.array([0, 0, 1, 0]), np.array([5, 6, 5, 5])
    one, other_seed, other_label, again = sample(generator, labels, seeds)
    assert not np.array_equal(one, other_seed)
    assert not np.array_equal(one, other_label)
    assert np.array_equal(one, again)


def test_a_latent_comes_from_its_own_seed_and_is_standard_normal() -> None:
    seeds = np.arange(2000) + 2**40
    latents = latents_of(seeds, 8)
    assert latents.shape == (2000, 8)
    assert latents.dtype == torch.float32
    assert torch.equal(latents_of(seeds[[7, 3]], 8), latents[[7, 3]])
    assert abs(float(latents.mean())) < 0.05
    assert abs(float(latents.std()) - 1) < 0.05
    correlation = np.corrcoef(latents.numpy().T) - np.eye(8)
    assert np.abs(correlation).max() < 0.12


class Elsewhere(nn.Module):
    """Lies on a device of its own, and takes nothing from another."""

    latent_dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, device="meta"))

    def forward(self, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        assert latents.device == labels.device == self.weight.device
        return torch.zeros(len(latents), 1, 8, 8)


def test_latents_and_labels_go_to_where_the_generator_lies() -> None:
    assert sample(Elsewhere(), np.zeros(3, np.int64), np.arange(3)).shape == (3, 8, 8, 1)

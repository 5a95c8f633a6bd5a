from __future__ import annotations

import numpy as np
import pytest
import torch

from tasks.gan.losses import LOSSES
from tests.reference import gan_losses as textbook

EXTREME = np.array([-1e4, -90.0, -3.0, -1e-6, 0.0, 0.5, 20.0, 88.0, 1e4])
REAL, FAKE = (grid.ravel() for grid in np.meshgrid(EXTREME, EXTREME))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_the_textbook_agrees_at_extreme_logits(name: str, side: str) -> None:
    loss = getattr(LOSSES[name], side)(
        torch.from_numpy(REAL).float(), torch.from_numpy(FAKE).float()
    )
    expected = getattr(textbook, f"{name}_{side}")(REAL, FAKE)
    assert loss.shape == REAL.shape  # one loss a sample
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_each_side_pulls_its_own_way(name: str) -> None:
    real = torch.tensor([0.3, -2.0], requires_grad=True)
    fake = torch.tensor([1.0, 0.1], requires_grad=True)
    loss = LOSSES[name]
    (generator,) = torch.autograd.grad(loss.generator(real, fake).sum(), fake)
    pull_real, pull_fake = torch.autograd.grad(loss.discriminator(real, fake).sum(), (real, fake))
    assert (generator < 0).all()  # a higher fake logit is good for the generator
    assert (pull_fake > 0).all()
    assert (pull_real < 0).all()


def test_the_relativistic_game_sees_differences_alone() -> None:
    real, fake = torch.tensor([0.3, -2.0]), torch.tensor([1.0, 0.1])
    loss = LOSSES["relativistic"]
    for side in (loss.generator, loss.discriminator):
        torch.testing.assert_close(side(real + 7, fake + 7), side(real, fake))
    torch.testing.assert_close(loss.generator(real, fake), loss.discriminator(fake, real))

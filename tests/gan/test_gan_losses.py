from __future__ import annotations

import typing

import numpy as np
import pytest
import torch
from torch import nn

from tasks.contracts.errors import UserError
from tasks.contracts.params.train_gan import LossName
from tasks.gan.losses import LOSSES, adversarial_loss, clip_weights
from tests.reference import gan_losses as textbook

EXTREME = np.array([-1e4, -90.0, -3.0, -1e-6, 0.0, 0.5, 20.0, 88.0, 1e4])
REAL, FAKE = (grid.ravel() for grid in np.meshgrid(EXTREME, EXTREME))
CROSS_ENTROPIES = ("saturating", "nonsaturating")


def test_every_loss_of_the_params_but_the_autoencoders_has_a_pair() -> None:
    assert set(LOSSES) == set(typing.get_args(LossName)) - {"elbo"}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_the_textbook_agrees_at_extreme_logits(name: str, side: str) -> None:
    loss = getattr(adversarial_loss(name), side)(
        torch.from_numpy(REAL).float(), torch.from_numpy(FAKE).float()
    )
    expected = getattr(textbook, f"{name}_{side}")(REAL, FAKE)
    assert loss.shape == REAL.shape  # one loss a sample
    np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_each_side_pulls_its_own_way(name: str) -> None:
    real = torch.tensor([0.3, -2.0], requires_grad=True)
    fake = torch.tensor([0.9, 0.1], requires_grad=True)
    loss = adversarial_loss(name)
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


def test_only_the_saturating_generator_is_stuck_where_the_discriminator_is_sure() -> None:
    pulls = {}
    for name in CROSS_ENTROPIES:
        fake = torch.tensor([-20.0], requires_grad=True)
        (pull,) = torch.autograd.grad(LOSSES[name].generator(fake, fake).sum(), fake)
        pulls[name] = float(pull)
    assert -1e-6 < pulls["saturating"] < 0
    assert pulls["nonsaturating"] == pytest.approx(-1.0)


def test_the_hinge_leaves_alone_what_is_right_by_a_margin() -> None:
    real = torch.tensor([1.5, 0.5], requires_grad=True)
    fake = torch.tensor([-1.5, -0.5], requires_grad=True)
    loss = LOSSES["hinge"].discriminator(real, fake)
    pulls = torch.autograd.grad(loss.sum(), (real, fake))
    assert [pull.tolist() for pull in pulls] == [[0.0, -1.0], [0.0, 1.0]]


@pytest.mark.parametrize("name", CROSS_ENTROPIES)
def test_smoothing_is_the_textbooks_and_on_reals_alone(name: str) -> None:
    real, fake = torch.from_numpy(REAL), torch.from_numpy(FAKE)
    smoothed, plain = adversarial_loss(name, 0.1), adversarial_loss(name)
    found = smoothed.discriminator(real, fake)
    expected = textbook.nonsaturating_discriminator(REAL, FAKE, smoothing=0.1)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    without = found - plain.discriminator(real, fake)
    torch.testing.assert_close(without, 0.1 * real, rtol=1e-9, atol=1e-9)  # no fake in it
    assert smoothed.generator is plain.generator


def test_smoothed_reals_rest_where_the_sigmoid_is_the_target() -> None:
    rest = torch.tensor([np.log(0.9 / 0.1)], requires_grad=True)
    loss = adversarial_loss("nonsaturating", 0.1).discriminator(rest, torch.zeros(1))
    (pull,) = torch.autograd.grad(loss.sum(), rest)
    assert float(pull) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - set(CROSS_ENTROPIES)))
def test_a_loss_without_labels_refuses_smoothing(name: str) -> None:
    with pytest.raises(UserError, match="has no labels to smooth"):
        adversarial_loss(name, 0.1)


def test_the_autoencoders_loss_is_no_game() -> None:
    with pytest.raises(UserError, match="no such adversarial loss"):
        adversarial_loss("elbo")


def test_clipping_bounds_every_weight_and_leaves_small_ones() -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 1))
    with torch.no_grad():
        critic[0].weight[0, 0, 0, :2] = torch.tensor([0.004, -7.0])
    clip_weights(critic, 0.01)
    assert critic[0].weight[0, 0, 0, :2].tolist() == pytest.approx([0.004, -0.01])
    assert all(float(p.detach().abs().max()) <= 0.01 for p in critic.parameters())
    assert all(p.requires_grad for p in critic.parameters())

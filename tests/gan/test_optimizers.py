from __future__ import annotations

import typing

import pytest
import torch
from torch import nn

from tasks.contracts.params.train_gan import OptimizerName
from tasks.gan.state import optimizer_tensors, restore_optimizer
from tasks.gan.step import OPTIMIZERS
from tests.contracts.tiny import tiny_params

GRADIENTS = (torch.tensor([1.0, -4.0]), torch.tensor([3.0, 0.5]), torch.tensor([-2.0, 0.1]))


def started(name: str, beta2: float = 0.9) -> tuple[nn.Parameter, torch.optim.Optimizer]:
    params = tiny_params(train_gan={"optimizer": name, "beta2": beta2}).train_gan
    weight = nn.Parameter(torch.zeros(2))
    optimizer = OPTIMIZERS[name]([weight], params)
    optimizer.param_groups[0]["lr"] = 0.1
    return weight, optimizer


def descend(
    weight: nn.Parameter, optimizer: torch.optim.Optimizer, *gradients: torch.Tensor
) -> None:
    for gradient in gradients:
        weight.grad = gradient.clone()
        optimizer.step()


def test_every_optimizer_of_the_params_is_there() -> None:
    assert set(OPTIMIZERS) == set(typing.get_args(OptimizerName))


def test_beta2_is_the_smoothing_constant_of_rmsprop() -> None:
    weight, optimizer = started("rmsprop", beta2=0.9)
    descend(weight, optimizer, *GRADIENTS)
    expected, square = torch.zeros(2), torch.zeros(2)
    for gradient in GRADIENTS:
        square = 0.9 * square + 0.1 * gradient**2
        expected -= 0.1 * gradient / (square.sqrt() + 1e-8)
    torch.testing.assert_close(weight.detach(), expected)


def test_adam_without_beta1_is_rmsprop_with_its_first_steps_corrected() -> None:
    """Adam's first step is the rate itself, RMSProp's that over the root of 1 - beta2."""
    steps = {}
    for name in OPTIMIZERS:
        weight, optimizer = started(name, beta2=0.75)
        descend(weight, optimizer, GRADIENTS[0])
        steps[name] = weight.detach()
    torch.testing.assert_close(steps["adam"], torch.tensor([-0.1, 0.1]))
    torch.testing.assert_close(steps["rmsprop"], 2 * steps["adam"])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_as_if_nothing_had_happened(name: str) -> None:
    whole, optimizer = started(name)
    descend(whole, optimizer, *GRADIENTS)
    half, before = started(name)
    descend(half, before, *GRADIENTS[:1])
    other, after = started(name)
    other.data.copy_(half.data)
    restore_optimizer(after, optimizer_tensors(before))
    after.param_groups[0]["lr"] = 0.1  # as every step of training sets it
    descend(other, after, *GRADIENTS[1:])
    assert torch.equal(other, whole)

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tasks.gan.model import ema_decay, update_ema


def test_the_half_life_is_ramped_then_constant() -> None:
    for step in range(1, 2000):
        seen = step * 64
        # an image's weight halves after half-life images: 5 % of those seen, at most 5000
        halflife = min(5000, 0.05 * seen)
        assert ema_decay(seen, 64, 5.0) ** (halflife / 64) == pytest.approx(0.5)
    assert ema_decay(10**9, 64, 5.0) == ema_decay(10**8, 64, 5.0)


def test_the_first_steps_are_forgotten_at_once() -> None:
    assert ema_decay(64, 64, 5.0) < 1e-5
    assert ema_decay(0, 64, 5.0) == 0.0


def test_the_average_is_the_weighted_sum_of_all_models() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = copy.deepcopy(model)
    expected = [p.detach().clone() for p in model.parameters()]
    for decay in (0.5, 0.9, 0.99, 0.0, 0.7):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter))
        model(torch.randn(4, 2))  # moves the running statistics
        update_ema(average, model, decay)
        expected = [
            decay * old + (1 - decay) * new.detach()
            for old, new in zip(expected, model.parameters(), strict=True)
        ]
    for kept, wanted in zip(average.parameters(), expected, strict=True):
        torch.testing.assert_close(kept.detach(), wanted)
    for kept, current in zip(average.buffers(), model.buffers(), strict=True):
        assert torch.equal(kept, current)

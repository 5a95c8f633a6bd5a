from __future__ import annotations

import pytest
import torch

from tasks.gan.diffaug import AdaController

N = 50
HIGH, LOW = torch.full((N,), 3.0), torch.full((N,), -3.0)


def controller(probability: float = 0.5) -> AdaController:
    found = AdaController(target=0.6, kimg_to_full=1.0)
    found.restore({"probability": torch.tensor(probability)})
    return found


def test_it_rises_from_nothing_while_every_real_wins_and_stops_at_one() -> None:
    ada = AdaController(target=0.6, kimg_to_full=1.0)
    assert float(ada.probability) == 0.0
    seen = []
    for _ in range(25):
        ada.update(HIGH, LOW)
        seen.append(float(ada.probability))
    # 50 images of 1000 a step: full after 20 steps
    assert seen[:20] == pytest.approx([0.05 * step for step in range(1, 21)], abs=1e-5)
    assert seen[20:] == [1.0] * 5


def test_it_falls_while_fakes_win_and_stops_at_nothing() -> None:
    ada = controller(0.12)
    seen = []
    for _ in range(4):
        ada.update(LOW, HIGH)
        seen.append(float(ada.probability))
    assert seen == pytest.approx([0.07, 0.02, 0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize(("winners", "direction"), [(50, 1), (41, 1), (39, -1), (25, -1), (0, -1)])
def test_the_score_is_the_share_of_pairs_won_less_those_lost(winners: int, direction: int) -> None:
    real = torch.where(torch.arange(N) < winners, 1.0, -1.0)
    ada = controller()
    ada.update(real, torch.zeros(N))  # 40 of 50 won would be on target: 0.8 - 0.2 = 0.6
    assert float(ada.probability) == pytest.approx(0.5 + 0.05 * direction)


def test_a_shift_of_all_logits_says_nothing() -> None:
    still, shifted = controller(), controller()
    torch.manual_seed(0)
    fake = torch.randn(N)
    real = fake + 0.1  # each beats its fake
    still.update(real, fake)
    shifted.update(real - 100, fake - 100)
    assert float(still.probability) > 0.5
    assert torch.equal(still.probability, shifted.probability)


def test_it_finds_the_probability_at_which_the_score_is_the_target() -> None:
    ada = AdaController(target=0.6, kimg_to_full=1.0)
    torch.manual_seed(0)
    for _ in range(400):
        margin = 2.0 - 3.0 * ada.probability  # augmentation makes the pairs harder to tell apart
        ada.update(margin + torch.randn(N), torch.randn(N))
    # P(real beats fake) = 0.8 at a margin of 0.8416 * sqrt(2)
    assert float(ada.probability) == pytest.approx((2.0 - 1.1902) / 3.0, abs=0.11)


def test_state_goes_around() -> None:
    ada, other = controller(), AdaController(target=0.6, kimg_to_full=1.0)
    ada.update(HIGH, LOW)
    other.restore(ada.state())
    for each in (ada, other):
        each.update(HIGH, LOW)
    assert torch.equal(ada.probability, other.probability)


def test_it_keeps_no_graph() -> None:
    ada = controller()
    ada.update(HIGH.clone().requires_grad_(True), LOW)
    assert not ada.probability.requires_grad

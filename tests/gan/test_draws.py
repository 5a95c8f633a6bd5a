from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from tasks.gan.draws import Draws

WORLD, N = 3, 4


def draws(rank: int = 0, world: int = 1, seed: int = 0) -> Draws:
    return Draws(Generator().manual_seed(seed), rank, world)


def a_few(of: Draws, n: int) -> list[Tensor]:
    return [of.normal(n, 2), of.uniform(n), of.uniform(n, 1, 1, 1), of.normal(n, 3, 2)]


def test_several_processes_draw_what_one_would() -> None:
    alone = a_few(draws(), WORLD * N)
    shared = [a_few(draws(rank, WORLD), N) for rank in range(WORLD)]
    for whole, *parts in zip(alone, *shared, strict=True):
        assert torch.equal(torch.cat(parts), whole)


def test_all_processes_are_left_in_one_state() -> None:
    left = []
    for rank in range(WORLD):
        mine = draws(rank, WORLD)
        a_few(mine, N)
        left.append(mine.generator.get_state())
    assert all(torch.equal(state, left[0]) for state in left)


def test_shapes_ranges_and_moments() -> None:
    mine = draws()
    even, normal = mine.uniform(500, 4, 2), mine.normal(500, 4, 2)
    assert even.shape == normal.shape == (500, 4, 2)
    assert float(even.min()) >= 0
    assert float(even.max()) < 1
    assert float(even.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(even.var()) == pytest.approx(1 / 12, abs=0.01)
    assert float(normal.mean()) == pytest.approx(0.0, abs=0.06)
    assert float(normal.std()) == pytest.approx(1.0, abs=0.05)


def test_a_seed_decides_and_the_global_state_does_not() -> None:
    before = torch.get_rng_state()
    first, again, other = (draws(seed=seed).normal(9) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_row_of_each_block_is_drawn_evenly_and_the_same_by_several_processes() -> None:
    alone = draws().one_of_each(WORLD * 8, 4)
    shared = [draws(rank, WORLD).one_of_each(8, 4) + 8 * rank for rank in range(WORLD)]
    assert torch.equal(torch.cat(shared), alone)
    random = draws()
    rows = torch.stack([random.one_of_each(12, 4) for _ in range(2000)])
    assert torch.equal(rows // 4, torch.arange(3).expand(2000, 3))
    counts = torch.bincount(rows.flatten(), minlength=12)
    assert counts.tolist() == pytest.approx([500] * 12, abs=90)  # 4.6 standard deviations
    assert random.one_of_each(5, 1).tolist() == [0, 1, 2, 3, 4]


def test_mine_is_the_processs_share_of_any_batch() -> None:
    labels = torch.arange(WORLD * N)
    shares = [draws(rank, WORLD).mine(labels) for rank in range(WORLD)]
    assert torch.equal(torch.cat(shares), labels)
    assert [len(share) for share in shares] == [N] * WORLD

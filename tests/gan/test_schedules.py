from __future__ import annotations

import itertools
import math
import typing

import pytest

from tasks.contracts.params.train_gan import ScheduleName
from tasks.gan.schedules import SCHEDULES, top_k_share


def test_every_schedule_of_the_params_is_there() -> None:
    assert set(SCHEDULES) == set(typing.get_args(ScheduleName))


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_first_half_is_whole_and_nothing_ever_rises(name: str) -> None:
    values = [SCHEDULES[name](step / 100) for step in range(101)]
    assert values[:51] == [1.0] * 51
    assert all(later <= earlier for earlier, later in itertools.pairwise(values))


@pytest.mark.parametrize(
    ("name", "three_quarters", "seven_eighths", "end"),
    [
        ("constant", 1.0, 1.0, 1.0),
        ("linear", 0.5, 0.25, 0.0),
        ("cosine", 0.5, (1 - math.sqrt(0.5)) / 2, 0.0),
    ],
)
def test_the_second_half_by_hand(
    name: str, three_quarters: float, seven_eighths: float, end: float
) -> None:
    found = [SCHEDULES[name](done) for done in (0.75, 0.875, 1.0)]
    assert found == pytest.approx([three_quarters, seven_eighths, end])


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_clock_that_ran_over_is_at_the_end(name: str) -> None:
    assert SCHEDULES[name](1.2) == SCHEDULES[name](1.0)
    assert top_k_share(1.2, 0.5) == 0.5


def test_top_k_falls_on_a_line_from_all_to_its_end() -> None:
    assert [top_k_share(done, 0.5) for done in (0.0, 0.5, 1.0)] == [1.0, 0.75, 0.5]
    assert top_k_share(0.7, 1.0) == 1.0

from __future__ import annotations

import math

import numpy as np
import pytest

from tasks.contracts.privacy import most_area, most_true_positives


@pytest.mark.parametrize(("epsilon", "delta"), [(0.0, 0.0), (1.0, 1e-5), (1.0, 0.1), (5.0, 0.01)])
def test_the_largest_area_is_that_under_the_largest_rates(epsilon: float, delta: float) -> None:
    wrong = np.linspace(0, 1, 20_001)
    found = [most_true_positives(epsilon, delta, one) for one in wrong]
    assert most_area(epsilon, delta) == pytest.approx(np.trapezoid(found, wrong), abs=1e-6)


def test_randomised_response_reaches_the_bound_and_nothing_passes_it() -> None:
    """Telling one bit with probability e^ε / (1 + e^ε) is ε-private (Dwork and Roth 2014, 3.2)."""
    for epsilon in (0.1, 1.0, 3.0):
        wrong = 1 / (1 + math.exp(epsilon))
        assert most_true_positives(epsilon, 0.0, wrong) == pytest.approx(1 - wrong)


def test_no_privacy_bounds_nothing_and_no_budget_leaves_chance() -> None:
    assert most_true_positives(1e9, 0.0, 0.01) == most_area(1e9, 0.0) == 1.0
    assert most_true_positives(0.0, 0.0, 0.3) == pytest.approx(0.3)
    assert most_area(0.0, 0.0) == 0.5
    assert most_true_positives(1.0, 1e-5, 0.01) == pytest.approx(0.0272, abs=1e-4)

"""What is told of sharing, from what the stages wrote."""

from __future__ import annotations

import dataclasses

import pytest

from tasks.contracts.privacy import most_area, most_true_positives
from tasks.lift.sharing import Sharing, sharing, sharing_over
from tests.answer.fake_sharing import GUARANTEE, membership

PRIVATE = {"privacy": dataclasses.asdict(GUARANTEE)}


def test_a_former_result_tells_nothing_and_a_gan_of_one_has_no_guarantee() -> None:
    assert sharing({"0": {}}, {}) is None
    found = sharing({"0": {}}, {"membership": membership()})
    assert found is not None
    assert found.guarantee is None
    assert found.attacks["nearest"].most_tpr is None


def test_one_gan_without_a_guarantee_leaves_none() -> None:
    found = sharing({"0": PRIVATE, "1": {"privacy": None}}, {"membership": membership()})
    assert found is not None
    assert found.guarantee is None


def test_the_guarantee_is_that_of_the_gan_that_spends_most() -> None:
    more = {"privacy": dataclasses.asdict(dataclasses.replace(GUARANTEE, epsilon=5.0))}
    found = sharing({"0": PRIVATE, "1": more}, {"membership": membership()})
    assert found is not None
    assert found.guarantee is not None
    assert found.guarantee.epsilon == 5.0


def test_bounds_are_those_of_who_sees_all_gans() -> None:
    found = sharing({"0": PRIVATE, "1": PRIVATE}, {"membership": membership()})
    assert found is not None
    for attack in found.attacks.values():
        assert attack.most_auc == pytest.approx(most_area(8.23, 1e-5), abs=1e-6)
        assert attack.most_tpr == pytest.approx(most_true_positives(8.23, 1e-5, 0.01), abs=1e-6)


def test_an_attack_that_could_not_be_measured_is_left_out() -> None:
    found = sharing({"0": {}}, {"membership": membership() | {"nearest": None}})
    assert found is not None
    assert list(found.attacks) == ["discriminator"]


def fold(nearest: float, tpr: float | None = 0.031) -> Sharing:
    found = sharing({"0": PRIVATE, "1": PRIVATE}, {"membership": membership(nearest, tpr=tpr)})
    assert found is not None
    return found


def test_over_folds_attacks_are_means_and_the_guarantee_is_that_of_all_gans() -> None:
    found = sharing_over([fold(0.6), fold(0.7)], 11.5)
    assert found is not None
    assert found.guarantee == dataclasses.replace(GUARANTEE, gans=4, epsilon_together=11.5)
    nearest = found.attacks["nearest"]
    assert (nearest.auc.value, nearest.auc.ci_low, nearest.auc.ci_high) == (0.65, 0.6, 0.7)
    assert nearest.most_auc == fold(0.6).attacks["nearest"].most_auc  # of one fold's GANs
    assert (nearest.members, nearest.non_members) == (1200, 289)


def test_over_folds_nothing_is_told_that_a_fold_does_not_tell() -> None:
    assert sharing_over([fold(0.6), None], None) is None
    found = sharing_over([fold(0.6), fold(0.7, tpr=None)], None)
    assert found is not None
    assert found.guarantee is None
    assert found.attacks["nearest"].tpr is None
    lacking = sharing({"0": {}}, {"membership": membership() | {"nearest": None}})
    found = sharing_over([fold(0.6), lacking], None)
    assert found is not None
    assert list(found.attacks) == ["discriminator"]

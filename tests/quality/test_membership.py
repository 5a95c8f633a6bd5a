from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tasks.contracts.image_set import ImageSet
from tasks.contracts.privacy import most_area, most_true_positives
from tasks.quality import membership
from tasks.quality.membership import FEWEST, Suspects, _Curve, by_nearest, standardised
from tests.contracts.tiny import shape_set
from tests.data.fake_sets import image_set
from tests.reference.membership_loop import rates

SHAPE = (4, 4, 1)


def plain_set(labels, seed=0, **columns) -> ImageSet:
    """Images of any content: what is told of them comes from scores."""
    rng = np.random.default_rng([seed, len(labels)])
    images = rng.integers(0, 256, (len(labels), *SHAPE), dtype=np.uint8)
    names = [f"class {label}" for label in range(int(np.max(labels)) + 1)]
    return image_set(images, labels, names, **columns)


def suspects_of(members, others, **columns) -> Suspects:
    return Suspects.of(plain_set(members, 1, **columns), plain_set(others, 2, **columns))


def blobs(labels, seed, width=20.0) -> ImageSet:
    """Each class its own picture with noise: fresh draws of one distribution."""
    rng = np.random.default_rng(seed)
    centre = np.random.default_rng(99).integers(70, 186, (int(np.max(labels)) + 1, 8, 8, 1))
    images = np.clip(centre[labels] + rng.normal(0, width, (len(labels), 8, 8, 1)), 0, 255)
    return image_set(images.astype(np.uint8), labels, [str(n) for n in range(len(centre))])


@pytest.mark.parametrize("seed", range(6))
def test_the_loop_over_all_pairs_agrees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    member_labels, other_labels = rng.integers(0, 3, 40), rng.choice(3, 120, p=(0.6, 0.3, 0.1))
    suspects = suspects_of(member_labels, other_labels)
    scores = rng.normal(size=160) + 0.8 * suspects.is_member
    scores = scores if seed % 2 else np.round(scores, 1)  # with ties
    found = suspects.told_by(scores, 0)
    auc, tpr = rates(scores, suspects.is_member, suspects.images.labels)
    assert found["auc"]["value"] == pytest.approx(auc, abs=1e-6)
    assert found["tpr"]["value"] == pytest.approx(tpr, abs=1e-6)
    assert (found["members"], found["non_members"]) == (40, 120)


def test_one_class_is_the_plain_auc() -> None:
    suspects = suspects_of([0] * 50, [0] * 150)
    scores = np.random.default_rng(0).normal(size=200).round(1) + 0.5 * suspects.is_member
    found = suspects.told_by(scores, 0)
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(suspects.is_member, scores))


def test_class_proportions_alone_are_no_leak() -> None:
    """A score that is the label, where labels alone would tell 8 of 10 members."""
    suspects = suspects_of([0] * 160 + [1] * 40, [0] * 60 + [1] * 240)
    labels = suspects.images.labels
    assert roc_auc_score(suspects.is_member, -labels) == pytest.approx(0.8)
    for scores in (-labels.astype(float), labels.astype(float)):
        found = suspects.told_by(scores, 0)
        assert set(found["auc"].values()) == {0.5}
        assert found["tpr"]["value"] == pytest.approx(0.01, rel=0.02)


def test_a_class_that_one_side_lacks_tells_nothing() -> None:
    suspects = suspects_of([0] * 30 + [1] * 30, [0] * 120 + [2] * 20)
    scores = np.where(suspects.images.labels == 0, 0.0, 9.0)
    found = suspects.told_by(scores, 0)
    assert found["auc"]["value"] == 0.5
    assert (found["members"], found["non_members"]) == (30, 120)
    assert suspects_of([0] * 5, [1] * 5).told_by(np.zeros(10), 0) is None
    assert suspects.told_by(np.full(200, np.nan), 0) is None


@pytest.mark.parametrize("others", [FEWEST, 100, 150, 300])
def test_guessing_reaches_one_percent_however_many_others_there_are(others: int) -> None:
    rng = np.random.default_rng(0)
    suspects = suspects_of([0] * 200, [0] * others)
    labels, each = suspects.images.labels, np.ones((1, len(suspects.is_member)))
    found = [
        _Curve.of(rng.normal(size=len(labels)), suspects.is_member, labels).figures(each)[1][0]
        for _ in range(2000)
    ]
    assert np.mean(found) == pytest.approx(0.01, abs=0.0012)


def test_a_rate_that_too_few_images_would_tell_is_not_told() -> None:
    suspects = suspects_of([0] * 50, [0] * (FEWEST - 1))
    found = suspects.told_by(suspects.is_member.astype(float), 0)
    assert found["tpr"] is None
    assert found["auc"]["value"] == 1.0


def test_intervals_cover_chance_about_as_often_as_they_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(membership, "_RESAMPLES", 400)
    suspects = suspects_of([0] * 60 + [1] * 60, [0] * 100 + [1] * 40)
    rng, missed = np.random.default_rng(0), []
    for seed in range(80):
        found = suspects.told_by(rng.normal(size=260), seed)
        missed.append(not found["auc"]["ci_low"] <= 0.5 <= found["auc"]["ci_high"])
    assert 0 < np.sum(missed) <= 10  # 4 are expected


def test_who_has_all_images_of_a_group_goes_by_their_mean() -> None:
    rng = np.random.default_rng(0)
    times = rng.integers(1, 8, 150)
    unit = np.repeat(np.arange(150), times)
    group = np.array([f"g{n}" for n in unit])
    labels = (unit % 3).astype(np.int64)
    member = unit < 40
    many = Suspects.of(
        plain_set(labels[member], 1, group=group[member]),
        plain_set(labels[~member], 2, group=group[~member]),
    )
    scores = rng.normal(size=len(unit)) + 0.5 * member
    means = np.bincount(unit, scores) / np.bincount(unit)
    alone = suspects_of(np.arange(40) % 3, np.arange(40, 150) % 3)
    found, expected = many.told_by(scores, 0), alone.told_by(means, 0)
    for figure in ("auc", "tpr"):
        assert found[figure]["value"] == expected[figure]["value"]
        assert found[figure] == pytest.approx(expected[figure], abs=0.05)  # other resamples
    assert (found["members"], found["non_members"], found["unit"]) == (40, 110, "group")
    assert expected["unit"] == "image"
    single = roc_auc_score(member, scores)
    assert found["auc"]["value"] > single + 0.05


def test_images_of_a_group_are_drawn_together() -> None:
    """Twenty copies of each image tell no more than one of it, and the interval shows it."""
    alone, times = suspects_of([0] * 30, [0] * 100), 20
    many = Suspects.of(
        plain_set([0] * 30 * times, 1, group=np.repeat([f"m{n}" for n in range(30)], times)),
        plain_set([0] * 100 * times, 2, group=np.repeat([f"o{n}" for n in range(100)], times)),
    )
    apart = Suspects.of(plain_set([0] * 30 * times, 1), plain_set([0] * 100 * times, 2))
    scores = np.random.default_rng(1).normal(size=130) + 0.4 * alone.is_member
    wide = [
        (found["auc"]["ci_high"] - found["auc"]["ci_low"], found["auc"]["value"])
        for found in (
            alone.told_by(scores, 0),
            many.told_by(np.repeat(scores, times), 0),
            apart.told_by(np.repeat(scores, times), 0),
        )
    ]
    assert wide[0][1] == pytest.approx(wide[1][1])
    assert wide[1][0] == pytest.approx(wide[0][0], rel=0.1)
    assert wide[2][0] < 0.4 * wide[0][0]


def test_a_generator_that_repeats_its_training_images_is_found() -> None:
    train, val = blobs(np.repeat([0, 1], 60), 1), blobs(np.repeat([0, 1], 60), 2)
    noise = np.random.default_rng(3).integers(-2, 3, train.images.shape)
    leaked = np.clip(train.images.astype(int) + noise, 0, 255).astype(np.uint8)
    pool = image_set(leaked, train.labels, ["0", "1"])
    suspects = Suspects.of(train, val)
    found = suspects.told_by(by_nearest(suspects.images, pool), 0)
    assert found["auc"]["value"] > 0.99
    assert found["auc"]["ci_low"] > 0.5
    assert found["tpr"]["ci_low"] > 0.9


def test_images_that_owe_nothing_to_either_side_give_nothing_away() -> None:
    """Over seeds, and with other class proportions on either side and in the pool."""
    missed = 0
    labels = [np.repeat([0, 1], counts) for counts in ((60, 20), (40, 80), (200, 100))]
    for seed in range(30):
        sets = [blobs(of, [seed, place]) for place, of in enumerate(labels)]
        suspects = Suspects.of(sets[0], sets[1])
        auc = suspects.told_by(by_nearest(suspects.images, sets[2]), seed)["auc"]
        missed += not auc["ci_low"] <= 0.5 <= auc["ci_high"]
    assert missed <= 5  # 1.5 are expected


def test_distances_are_told_on_the_scale_of_their_class() -> None:
    """Class 1 has the pictures of class 0 with thrice the contrast."""
    one = blobs(np.zeros(40, dtype=int), 1)
    middle = one.images.astype(float) - 128

    def with_contrast(part: slice) -> ImageSet:
        twice = np.concatenate([128 + factor * middle[part] for factor in (0.25, 0.75)])
        count = len(twice) // 2
        return image_set(twice.astype(np.uint8), np.repeat([0, 1], count), ["faint", "strong"])

    scores = by_nearest(with_contrast(slice(0, 10)), with_contrast(slice(10, 40)))
    np.testing.assert_allclose(scores[:10], scores[10:], rtol=0.05)


def test_odd_pools_are_borne() -> None:
    """A class that collapsed onto one image, one of a single image, one of none."""
    suspects = shape_set(4, seed=1)
    made = shape_set(6, seed=2)
    images = made.images.copy()
    images[:6] = images[0]
    pool = ImageSet(images, made.manifest).take([0, 1, 2, 3, 4, 5, 6])
    scores = by_nearest(suspects, pool)
    assert np.isfinite(scores[:8]).all()
    assert np.isnan(scores[8:]).all()
    alike = pool.take([0, 1, 2])
    assert np.isfinite(by_nearest(suspects, alike)[:4]).all()


def test_logits_are_told_on_the_scale_of_the_gans_own_images() -> None:
    rng = np.random.default_rng(0)
    made_labels, labels = rng.integers(0, 2, 400), rng.integers(0, 3, 30)
    made = np.where(made_labels == 0, 5 + rng.normal(size=400), -3 + 9 * rng.normal(size=400))
    known, logits = labels < 2, np.full(30, 6.0)
    scores = standardised(logits, labels, made, made_labels)
    assert np.isnan(scores[~known]).all()
    for label in (0, 1):
        own = made[made_labels == label]
        assert scores[labels == label] == pytest.approx((6 - own.mean()) / own.std())
    alike = standardised(logits, labels, np.ones(3), np.zeros(3, dtype=np.int64))
    assert np.isfinite(alike[labels == 0]).all()


def test_what_is_drawn_and_held_is_bounded_and_repeatable(monkeypatch: pytest.MonkeyPatch) -> None:
    suspects = suspects_of([0, 1] * 40, [1, 0] * 60)
    scores = np.random.default_rng(0).normal(size=200)
    whole = suspects.told_by(scores, 0)
    monkeypatch.setattr(membership, "_CELLS", 200 * 7)
    assert suspects.told_by(scores, 1) != whole
    assert suspects.told_by(scores, 0)["auc"]["value"] == whole["auc"]["value"]
    assert suspects.told_by(scores, 0) == suspects.told_by(scores, 0)
    many = suspects_of([0] * 6000, [0] * 6)
    assert (many.is_member.sum(), (~many.is_member).sum()) == (5000, 6)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 4.0])
def test_no_attack_on_a_private_answer_beats_the_bound(epsilon: float) -> None:
    """Randomised response, whose privacy is known, reaches what the bound allows and no more."""
    truth = np.exp(epsilon) / (1 + np.exp(epsilon))
    suspects = suspects_of([0] * 2500, [0] * 2500)
    says = np.random.default_rng(0).random(5000) < truth
    found = suspects.told_by(np.where(says, suspects.is_member, ~suspects.is_member) * 1.0, 0)
    assert found["auc"]["ci_low"] <= most_area(epsilon, 0.0) <= found["auc"]["ci_high"]
    assert found["tpr"]["ci_low"] <= most_true_positives(epsilon, 0.0, 0.01)

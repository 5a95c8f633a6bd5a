from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.classifier.arms import (
    ADDITIONS,
    FROM_GAN,
    Arm,
    arm_table,
    gan_seed_of,
    missing_images,
    training_set,
)
from tasks.classifier.examples import Examples
from tasks.classifier.training_data import TrainingData
from tasks.contracts.arms import (
    ADAPTED,
    AFTER_OTHER_DOMAIN,
    ARMS,
    DISTILLED,
    FILTERED,
    NON_SYNTHETIC,
    OTHER_DOMAIN,
    PASTED,
    PSEUDO_LABELLED,
    REPEATED,
    SYNTHETIC,
    SYNTHETIC_ONLY,
    UNFILTERED,
    fraction_of,
)
from tasks.contracts.image_set import ImageSet, concatenate, image_id
from tests.data.fake_sets import noise_set, soft_set, synthetic_set

RECIPE = "mixup"
ARM_TABLE = arm_table(RECIPE, [])
GANS = (3, 7)
ACCEPTED = {3: (4, 2), 7: (1, 8)}  # of cat and dog
POOL = 9  # unfiltered images of each class and GAN
REAL = (6, 4)


def some(whole: ImageSet, counts: tuple[int, int]) -> ImageSet:
    """The first images of cat and of dog."""
    rows = [np.flatnonzero(whole.labels == label)[:count] for label, count in enumerate(counts)]
    return whole.take(np.concatenate(rows))


def data_of(
    spare: tuple[int, int] = (6, 9), pseudo: int = 3, other_domain: int = 5
) -> TrainingData:
    pools = [synthetic_set(POOL, seed) for seed in GANS]
    orders = [np.random.default_rng(seed).permutation(2 * POOL) for seed in GANS]
    accepted = [some(pool, ACCEPTED[seed]) for pool, seed in zip(pools, GANS, strict=True)]
    return TrainingData.of(
        merged=concatenate([some(noise_set(6), REAL), *accepted]),
        control=concatenate([pool.take(order) for pool, order in zip(pools, orders, strict=True)]),
        spare=some(noise_set(9, seed=5), spare),
        distilled=soft_set(POOL, seed=8),
        unlabelled=noise_set(2, seed=9),
        pseudo=noise_set(pseudo, seed=6),
        other_domain=noise_set(other_domain, seed=7),
    )


def ids(images: Examples) -> list[str]:
    return [image_id(image) for image in images.pixels(slice(None))]


def counts(images: Examples) -> tuple[int, ...]:
    return tuple(np.bincount(images.labels, minlength=2))


def test_every_arm_of_the_contract_is_in_the_table_and_adds_what_there_is() -> None:
    assert list(ARM_TABLE) == list(ARMS)
    assert {arm.addition for arm in ARM_TABLE.values()} - {None} == set(ADDITIONS)
    for name, arm in ARM_TABLE.items():
        assert (arm.addition in FROM_GAN) == (name in SYNTHETIC)


@pytest.mark.parametrize("baseline", NON_SYNTHETIC)
def test_treatment_and_any_baseline_differ_in_the_addition_alone(baseline: str) -> None:
    treatment, other = ARM_TABLE[FILTERED], ARM_TABLE[baseline]
    alike = dataclasses.replace(other, addition=treatment.addition)
    if baseline == AFTER_OTHER_DOMAIN:  # as many images in as many steps, but in another order
        alike = dataclasses.replace(alike, entry=None)
    if baseline == ADAPTED:  # what is done after its last step
        alike = dataclasses.replace(alike, adapted=False)
    assert alike == treatment
    assert treatment.addition == "filtered"
    assert {arm.recipe for arm in arm_table(RECIPE, [0.5, 2.0]).values()} == {RECIPE}


@pytest.mark.parametrize("name", [name for name in NON_SYNTHETIC if name != PASTED])
def test_no_arm_without_synthetic_images_holds_one(name: str) -> None:
    data = data_of()
    chosen = training_set(ARM_TABLE[name], data, gan_seed=3, seed=0)
    of = (data.real, data.distilled, data.pseudo_labelled, data.other_domain)
    real = {one for images in of for one in ids(images)}
    assert {*ids(chosen.real), *ids(chosen.added)} <= real


@pytest.mark.parametrize("name", [name for name in ARMS if name != SYNTHETIC_ONLY])
def test_the_real_part_is_every_real_image_in_one_order(name: str) -> None:
    data = data_of()
    chosen = training_set(ARM_TABLE[name], data, gan_seed=7, seed=4)
    assert ids(chosen.real) == ids(data.real)
    assert chosen.real.labels.tolist() == data.real.labels.tolist()


def test_synthetic_only_holds_no_real_image() -> None:
    chosen = training_set(ARM_TABLE[SYNTHETIC_ONLY], data_of(), gan_seed=3, seed=0)
    assert len(chosen.real) == 0
    assert counts(chosen.added) == ACCEPTED[3]


@pytest.mark.parametrize("gan_seed", GANS)
@pytest.mark.parametrize("name", [REPEATED, DISTILLED, UNFILTERED, FILTERED, SYNTHETIC_ONLY])
def test_as_many_are_added_of_each_class_as_the_gan_has_accepted(name: str, gan_seed: int) -> None:
    data = data_of()
    added = training_set(ARM_TABLE[name], data, gan_seed=gan_seed, seed=1).added
    assert counts(added) == ACCEPTED[gan_seed]
    source = {
        "repeated": data.real,
        "distilled": data.distilled,
        "unfiltered": data.unfiltered[gan_seed],
    }.get(str(ARM_TABLE[name].addition), data.filtered[gan_seed])
    label_of = dict(zip(ids(source), source.labels, strict=True))
    assert added.labels.tolist() == [label_of[one] for one in ids(added)]
    if ARM_TABLE[name].addition in FROM_GAN:
        assert len(set(ids(added))) == len(added)


def brought_up(cats: int, dogs: int) -> TrainingData:
    """6 and 4 real images; one GAN gave so many of each class."""
    accepted = some(synthetic_set(POOL, 3), (cats, dogs))
    empty = noise_set(1, seed=5).take([])
    return TrainingData.of(
        merged=concatenate([some(noise_set(6), REAL), accepted]),
        control=synthetic_set(POOL, 3),
        spare=empty,
        distilled=soft_set(POOL, seed=8),
        unlabelled=empty,
        pseudo=empty,
        other_domain=empty,
    )


@pytest.mark.parametrize("name", [REPEATED, PASTED, DISTILLED, UNFILTERED, FILTERED])
def test_a_class_that_is_given_nothing_keeps_its_weight_by_real_images(name: str) -> None:
    data = brought_up(0, 3)
    chosen = training_set(ARM_TABLE[name], data, gan_seed=3, seed=2)
    assert counts(chosen.added) == (0, 3)
    assert counts(chosen.stand_ins) == (6, 1)  # so that 3 + 1 dogs are shown as often as 4
    assert set(ids(chosen.stand_ins)) <= set(ids(data.real))


def test_nothing_stands_in_where_every_class_is_given_some_or_none_is_added() -> None:
    for data, name in ((data_of(), FILTERED), (data_of(), REPEATED), (brought_up(0, 3), "real")):
        assert len(training_set(ARM_TABLE[name], data, gan_seed=3, seed=2).stand_ins) == 0


def test_synthetic_images_alone_are_not_trained_on_where_a_class_has_none() -> None:
    arm = ARM_TABLE[SYNTHETIC_ONLY]
    assert missing_images(arm, brought_up(1, 3)) is None
    assert missing_images(arm, brought_up(0, 3)) == "class 'cat' is given no image of GAN 3"


def test_filtered_and_unfiltered_differ_in_choice_alone() -> None:
    data = data_of()
    one, two = (
        training_set(ARM_TABLE[n], data, gan_seed=3, seed=0).added for n in (FILTERED, UNFILTERED)
    )
    assert counts(one) == counts(two)
    assert set(ids(one)) != set(ids(two))


def test_real_images_are_repeated_evenly_and_others_by_another_seed() -> None:
    data = data_of()
    added = training_set(ARM_TABLE[REPEATED], data, gan_seed=7, seed=1).added
    dogs = added.take(np.flatnonzero(added.labels == 1))  # 8 repeats of 4 images
    assert sorted(Counter(ids(dogs)).values()) == [2, 2, 2, 2]
    chosen = {
        tuple(ids(training_set(ARM_TABLE[REPEATED], data, gan_seed=3, seed=seed).added))
        for seed in range(8)
    }
    assert len(chosen) > 1


@given(st.sampled_from([0.05, 0.25, 0.5, 0.9, 1.5, 2.0]), st.integers(0, 50))
def test_a_share_is_of_each_class_and_holds_every_smaller_one(share: float, seed: int) -> None:
    data = data_of()
    held: set[str] = set()
    for one in sorted({0.1, share, 1.0, 1.25, 2.0}):
        real = training_set(Arm(RECIPE, share=one), data, gan_seed=3, seed=seed).real
        expected = tuple(max(1, int(one * count + 0.5)) for count in REAL)
        assert counts(real) == expected
        assert len(set(ids(real))) == len(real)
        assert held <= set(ids(real))
        held = set(ids(real))
    assert set(ids(data.real)) <= held


def test_which_real_images_a_share_takes_is_drawn_by_seed() -> None:
    data = data_of()
    drawn = {
        frozenset(ids(training_set(Arm(RECIPE, share=0.5), data, gan_seed=3, seed=seed).real))
        for seed in range(10)
    }
    assert len(drawn) > 3


def test_a_share_beyond_the_spare_images_is_left_out_with_the_class() -> None:
    assert missing_images(Arm(RECIPE, share=2.0), data_of(spare=(6, 4))) is None
    reason = missing_images(Arm(RECIPE, share=2.0), data_of(spare=(6, 3)))
    assert reason == "class 'dog' would need 4 more labelled images; 3 are to spare"
    assert missing_images(Arm(RECIPE, share=1.5), data_of(spare=(0, 0))) is not None
    assert missing_images(Arm(RECIPE, share=0.5), data_of(spare=(0, 0))) is None


def test_pseudo_labelled_images_are_added_where_there_are_some() -> None:
    data, none = data_of(), data_of(pseudo=0)
    arm = ARM_TABLE[PSEUDO_LABELLED]
    assert missing_images(arm, data) is None
    assert ids(training_set(arm, data, gan_seed=3, seed=0).added) == ids(data.pseudo_labelled)
    assert missing_images(arm, none) == "there is no unlabelled image, or none got a label"
    others = [name for name in ARMS if name not in (PSEUDO_LABELLED, PASTED)]  # none is rare
    assert all(missing_images(ARM_TABLE[name], none) is None for name in others)


@pytest.mark.parametrize("name", [OTHER_DOMAIN, AFTER_OTHER_DOMAIN, ADAPTED])
def test_images_of_another_domain_are_added_where_there_are_some(name: str) -> None:
    data, arm = data_of(), ARM_TABLE[name]
    assert missing_images(arm, data) is None
    chosen = training_set(arm, data, gan_seed=3, seed=0)
    assert ids(chosen.added) == ids(data.other_domain)
    assert ids(chosen.real) == ids(data.real)
    none = data_of(other_domain=0)
    assert missing_images(arm, none) == "there is no image of another domain"
    assert (arm.entry == "pretrain") == (name == AFTER_OTHER_DOMAIN)


def test_fractions_are_the_recipe_on_a_share() -> None:
    table = arm_table(RECIPE, [0.25, 2.0])
    extra = {name: arm for name, arm in table.items() if name not in ARM_TABLE}
    assert [fraction_of(name) for name in extra] == [0.25, 2.0]
    for name, arm in extra.items():
        assert arm == Arm(RECIPE, share=fraction_of(name))
        assert name.startswith("real at ")


def test_seeds_are_spread_over_the_gans_in_turn() -> None:
    assert list(data_of().filtered) == list(GANS)
    assert [gan_seed_of(run, GANS) for run in range(5)] == [3, 7, 3, 7, 3]

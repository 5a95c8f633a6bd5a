from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.classifier.arms import ARM_TABLE, gan_seed_of, training_set
from tasks.contracts.image_set import ImageSet, concatenate
from tasks.contracts.params import ARMS
from tests.data.fake_sets import noise_set, synthetic_set

GANS = (3, 7)
ACCEPTED = {3: (4, 2), 7: (1, 5)}  # of cat and dog
POOL = 9  # control images of each class and GAN


def of_gan(gan_seed: int, counts: tuple[int, int]) -> ImageSet:
    whole = synthetic_set(POOL, gan_seed)
    return whole.take(
        [row for label in (0, 1) for row in range(label * POOL, label * POOL + counts[label])]
    )


@pytest.fixture(scope="module")
def merged() -> ImageSet:
    parts = [noise_set(6), *(of_gan(seed, counts) for seed, counts in ACCEPTED.items())]
    both = concatenate(parts)
    return ImageSet(both.images, both.manifest.astype({"gan_seed": "Int64"}))


@pytest.fixture(scope="module")
def control() -> ImageSet:
    pools = []
    for seed in GANS:
        whole = synthetic_set(POOL, seed)
        order = np.random.default_rng(seed).permutation(len(whole))
        pools.append(whole.take(order))
    return concatenate(pools)


def table(name: str, merged: ImageSet, control: ImageSet, gan_seed: int) -> pd.DataFrame:
    chosen = training_set(ARM_TABLE[name], merged, control, gan_seed)
    np.testing.assert_array_equal(chosen.labels, chosen.manifest["label"])
    return chosen.manifest


def ids(manifest: pd.DataFrame) -> set[str]:
    return set(manifest["image_id"])


def test_every_arm_of_the_params_is_in_the_table() -> None:
    assert tuple(ARM_TABLE) == ARMS


def test_arms_differ_from_the_next_in_one_thing() -> None:
    assert [ARM_TABLE[name].augment for name in ARMS] == [False, True, True, True, False]
    assert [ARM_TABLE[name].synthetic for name in ARMS] == [
        None,
        None,
        "control",
        "filtered",
        "filtered",
    ]
    assert [ARM_TABLE[name].real for name in ARMS] == [True] * 4 + [False]


@pytest.mark.parametrize("name", ["real", "real+classical"])
def test_real_arms_hold_every_real_image_and_nothing_else(
    name: str, merged: ImageSet, control: ImageSet
) -> None:
    rows = table(name, merged, control, -1)
    assert ids(rows) == ids(merged.manifest[merged.manifest["origin"] == "real"])
    assert set(rows["origin"]) == {"real"}


@pytest.mark.parametrize("gan_seed", GANS)
@pytest.mark.parametrize("name", [name for name in ARMS if ARM_TABLE[name].synthetic])
def test_synthetic_images_come_from_one_gan_in_the_filters_counts(
    name: str, gan_seed: int, merged: ImageSet, control: ImageSet
) -> None:
    rows = table(name, merged, control, gan_seed)
    made = rows[rows["origin"] == "synthetic"]
    assert set(made["gan_seed"]) == {gan_seed}
    assert made.groupby("label").size().tolist() == list(ACCEPTED[gan_seed])
    assert made["image_id"].is_unique
    real = rows[rows["origin"] == "real"]
    assert len(real) == (12 if ARM_TABLE[name].real else 0)
    source = control if ARM_TABLE[name].synthetic == "control" else merged
    assert ids(made) <= ids(source.manifest)


def test_control_and_filtered_differ_in_choice_alone(merged: ImageSet, control: ImageSet) -> None:
    filtered = table("real+classical+filtered", merged, control, 3)
    drawn = table("real+classical+control", merged, control, 3)
    assert filtered["label"].value_counts().to_dict() == drawn["label"].value_counts().to_dict()
    assert ids(filtered) != ids(drawn)


def test_pixels_belong_to_their_rows(merged: ImageSet, control: ImageSet) -> None:
    chosen = training_set(ARM_TABLE["real+classical+control"], merged, control, 7)
    by_id = dict(zip(control.manifest["image_id"], control.images, strict=True))
    for image, one in zip(chosen.images, chosen.manifest.itertuples(), strict=True):
        if one.origin == "synthetic":
            np.testing.assert_array_equal(image, by_id[one.image_id])


def test_seeds_are_spread_over_the_gans_in_turn() -> None:
    gans = np.array(GANS)
    assert [gan_seed_of(run, gans) for run in range(5)] == [3, 7, 3, 7, 3]

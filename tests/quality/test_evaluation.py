from __future__ import annotations

import json
import math
import pickle
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from tasks.contracts.errors import UserError
from tasks.contracts.evaluation import GanEvaluation, Sample
from tasks.contracts.image_set import Images, ImageSet, Labels
from tasks.gan.health import collapsed_classes
from tasks.quality.evaluation import Evaluator
from tasks.quality.fidelity import frechet_distance, kernel_distance, prdc
from tests.contracts.tiny import SHAPES, shape_set, tiny_params
from tests.data.fake_sets import image_set

BY_CLASS = {"coverage", "coverage_real", "conditioning", "diversity", "spacing"}
HEALTH = {
    "max_rollbacks": 1,
    "max_logit": 1000.0,
    "max_gradient": 1e5,
    "max_burst": 1000.0,
    "collapse_below": 0.3,
    "collapse_patience": 3,
}
OVERALL = {
    "kid",
    "fid",
    "precision",
    "recall",
    "density",
    "coverage",
    "conditioning",
    "conditioning_real",
    "diversity",
    "copy_rate",
    "copy_rate_real",
}


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None: ...


def pixels(images: Images) -> np.ndarray:
    """Features that need no network: means of 2x2 pixels, ``[N, 16]``."""
    blocks = np.asarray(images, np.float32).reshape(len(images), 4, 2, 4, 2)
    return blocks.mean(axis=(2, 4)).reshape(len(images), -1) / 64


def nearest_class(images: Images) -> np.ndarray:
    """Probabilities of a classifier by the mean image of each class."""
    known = shape_set(50, seed=77)
    means = np.stack([pixels(known.images[known.labels == label]).mean(0) for label in range(3)])
    distance = ((pixels(images)[:, None] - means) ** 2).sum(axis=2)
    return np.exp(-distance) / np.exp(-distance).sum(axis=1, keepdims=True)


def from_set(source: ImageSet, labels_of: Sequence[int] = (0, 1, 2)) -> Sample:
    """A generator that shows the images of a set in turn, of another class if told so."""

    def sample(labels: Labels) -> Images:
        rows = {label: list(np.flatnonzero(source.labels == label)) for label in range(3)}
        turn = dict.fromkeys(rows, 0)
        shown = []
        for label in np.asarray(labels_of)[labels]:
            shown.append(rows[label][turn[label] % len(rows[label])])
            turn[label] += 1
        return np.asarray(source.images[shown])

    return sample


TRAIN, VAL, FRESH = shape_set(12, seed=1), shape_set(10, seed=2), shape_set(40, seed=3)


def evaluator(train: ImageSet = TRAIN, val: ImageSet = VAL, per_class: int = 12) -> Evaluator:
    return Evaluator(pixels, nearest_class, train, val, per_class)


def numbers(evaluation: GanEvaluation) -> list[float]:
    return [
        value
        for values in (evaluation.overall, *evaluation.by_class.values())
        for value in values.values()
    ]


def test_it_says_what_the_contract_names_in_plain_finite_floats() -> None:
    found = evaluator()(from_set(FRESH))
    assert set(found.overall) == OVERALL
    assert list(found.by_class) == list(SHAPES)
    for values in found.by_class.values():
        assert set(values) == BY_CLASS
    assert all(type(value) is float and math.isfinite(value) for value in numbers(found))
    json.dumps(found.overall)


def test_fresh_images_of_the_same_kind_do_well() -> None:
    found = evaluator()(from_set(FRESH))
    assert found.overall["coverage"] > 0.8
    assert found.overall["conditioning"] == np.mean(
        [values["conditioning"] for values in found.by_class.values()]
    )
    assert 0.8 < found.overall["diversity"] < 1.25
    assert found.overall["copy_rate"] < 0.2


def test_the_distances_compare_with_val_alone() -> None:
    asked: list[Labels] = []

    def sample(labels: Labels) -> Images:
        asked.append(labels)
        return from_set(FRESH)(labels)

    found = evaluator()(sample)
    fakes = pixels(from_set(FRESH)(asked[0]))
    assert np.bincount(asked[0]).tolist() == [12, 12, 12]
    real = pixels(VAL.images)
    assert found.overall["kid"] == kernel_distance(real, fakes)
    assert found.overall["fid"] == frechet_distance(real, fakes)
    expected = prdc(real, fakes)
    assert {name: found.overall[name] for name in expected} == expected


def test_copies_of_training_images_raise_the_copy_rate() -> None:
    judge = evaluator()
    assert judge(from_set(TRAIN)).overall["copy_rate"] == 1.0
    assert judge(from_set(FRESH)).overall["copy_rate"] < 0.2
    assert judge(from_set(FRESH)).overall["copy_rate_real"] < 0.05


def test_real_images_are_recognised_as_well_as_the_classifier_can() -> None:
    found = evaluator()(from_set(FRESH)).overall
    right = nearest_class(VAL.images).argmax(axis=1) == VAL.labels
    assert found["conditioning_real"] == np.mean([right[VAL.labels == k].mean() for k in range(3)])


def test_a_copy_under_another_label_is_a_copy_too() -> None:
    found = evaluator()(from_set(TRAIN, labels_of=(1, 2, 0)))
    assert found.overall["copy_rate"] == 1.0
    assert found.overall["conditioning"] < 0.4


def test_one_class_for_another_is_seen_in_that_class() -> None:
    judge = evaluator()
    sound, wrong = judge(from_set(FRESH)), judge(from_set(FRESH, labels_of=(0, 1, 1)))
    assert wrong.by_class["triangle"]["conditioning"] < 0.3
    assert wrong.by_class["triangle"]["coverage"] < sound.by_class["triangle"]["coverage"]
    assert wrong.by_class["circle"] == sound.by_class["circle"]


def test_collapse_of_a_class_is_seen_in_that_class() -> None:
    one_square = FRESH.take([*range(40), 40, *range(80, 120)])
    judge = evaluator()
    sound, collapsed = judge(from_set(FRESH)), judge(from_set(one_square))
    assert collapsed.by_class["square"]["diversity"] == 0
    assert collapsed.by_class["square"]["coverage"] < 0.5
    assert collapsed.by_class["circle"] == sound.by_class["circle"]
    for name in ("recall", "coverage", "diversity"):
        assert collapsed.overall[name] < sound.overall[name]


def test_it_says_the_same_twice_and_in_another_process() -> None:
    judge = evaluator()
    first = judge(from_set(FRESH))
    assert judge(from_set(FRESH)) == first
    assert pickle.loads(pickle.dumps(judge))(from_set(FRESH)) == first


@pytest.mark.parametrize(("per_class", "each"), [(1, 2), (7, 7), (1000, 166)])
def test_every_class_is_asked_equally_often_and_not_without_end(per_class: int, each: int) -> None:
    counts: list[list[int]] = []

    def sample(labels: Labels) -> Images:
        counts.append(np.bincount(labels).tolist())
        return from_set(FRESH)(labels)

    evaluator(per_class=per_class)(sample)
    assert counts == [[each] * 3]


def test_an_uneven_val_tells_nothing_against_an_even_gan() -> None:
    """Of 12 fakes a class, 12, 3 and 2 meet a val of 10, 2 and 1 images."""
    uneven = VAL.take([*range(10), 10, 11, 20])
    fresh = from_set(FRESH)
    found = evaluator(val=uneven)(fresh)
    fakes = fresh(np.repeat([0, 1, 2], [12, 3, 2]))
    assert found.overall["kid"] == kernel_distance(pixels(uneven.images), pixels(fakes))


def test_a_class_with_few_val_images_borrows_from_train() -> None:
    found = evaluator(val=VAL.take([*range(10), 10, *range(20, 24)]))(from_set(FRESH))
    borrowed = np.concatenate([VAL.images[10:11], TRAIN.images[12:24]])
    fakes = from_set(FRESH)(np.ones(12, np.int64))
    expected = prdc(pixels(borrowed), pixels(fakes))["coverage"]
    assert found.by_class["square"]["coverage"] == expected
    assert all(math.isfinite(value) for value in numbers(found))


def test_a_class_without_two_real_images_has_no_diversity() -> None:
    train, val = TRAIN.take([*range(12), 12, *range(24, 36)]), VAL.take([*range(10), 25])
    found = evaluator(train, val)(from_set(FRESH))
    assert set(found.by_class["square"]) == {"conditioning"}
    # one image of real/val is too few: training images would be held against themselves
    assert set(found.by_class["triangle"]) == BY_CLASS - {"coverage_real"}
    others = [found.by_class[name]["diversity"] for name in ("circle", "triangle")]
    assert found.overall["diversity"] == pytest.approx(np.mean(others))


def test_a_val_of_one_image_is_refused() -> None:
    with pytest.raises(UserError, match=r"real/val: 1 images are too few .* ingest\.val_share"):
        evaluator(val=VAL.take([0]))


@dataclass(frozen=True)
class Kinds:
    """Classes that each vary in `width` directions around an image of their own, 8 px."""

    classes: int
    width: int

    def images(self, labels: Labels, rng: np.random.Generator) -> Images:
        fixed = np.random.default_rng(self.classes)
        means = fixed.normal(128, 30, (self.classes, 64))
        directions = np.linalg.qr(fixed.normal(size=(64, 64)))[0][: self.width]
        varied = means[labels] + rng.normal(0, 25, (len(labels), self.width)) @ directions
        return np.clip(varied, 0, 255).astype(np.uint8).reshape(-1, 8, 8, 1)

    def real(self, per_class: int, rng: np.random.Generator) -> ImageSet:
        labels = np.repeat(np.arange(self.classes), per_class)
        names = [f"class {label}" for label in range(self.classes)]
        return image_set(self.images(labels, rng), labels.tolist(), names)

    def features(self, images: Images) -> np.ndarray:
        return np.asarray(images, np.float32).reshape(len(images), -1) / 64

    def probabilities(self, images: Images) -> np.ndarray:
        return np.ones((len(images), self.classes), np.float32)


@pytest.mark.parametrize(
    ("classes", "width", "per_train", "per_val"),
    [
        *((classes, 8, 5, 5) for classes in (2, 10, 50, 125, 160, 250, 500, 1000)),
        *((classes, 8, 20, 27) for classes in (10, 125, 160, 250)),
        (160, 64, 100, 100),  # where some images are neighbours of many and most of none
        (160, 2, 2, 2),
        (160, 2, 2, 5),
        (160, 2, 5, 5),
        (1000, 8, 2, 3),
    ],
)
def test_a_perfect_gan_is_not_called_collapsed_and_a_collapsed_one_is(
    classes: int, width: int, per_train: int, per_val: int
) -> None:
    rng = np.random.default_rng(0)
    kinds = Kinds(classes, width)
    limits = tiny_params(train_gan={"health": HEALTH}).train_gan.health
    judge = Evaluator(
        kinds.features,
        kinds.probabilities,
        kinds.real(per_train, rng),
        kinds.real(per_val, rng),
        per_class=50,
    )
    every = np.arange(classes)
    one, other = kinds.images(every, rng), kinds.images(every, rng)
    generators: dict[str, Sample] = {
        "perfect": lambda labels: kinds.images(labels, rng),
        "one image": lambda labels: one[labels],
        "one of two": lambda labels: np.where(
            rng.integers(0, 2, (len(labels), 1, 1, 1)) == 1, one[labels], other[labels]
        ),
    }
    flagged = {
        name: len(collapsed_classes(judge(sample), limits)) / classes
        for name, sample in generators.items()
    }
    assert flagged["perfect"] <= 0.02
    assert flagged["one image"] == 1
    # with a pair of real images and its copy's neighbour in 2 directions, chance looks like that
    assert flagged["one of two"] >= (0.95 if per_val + width > 7 else 0.7)


@pytest.mark.parametrize(("classes", "asked"), [(2, 100), (10, 500), (62, 496), (100, 800)])
def test_an_evaluation_asks_for_500_images_and_8_a_class_at_least(classes: int, asked: int) -> None:
    rng, kinds, counts = np.random.default_rng(0), Kinds(classes, 8), []

    def sample(labels: Labels) -> Images:
        counts.append(len(labels))
        return kinds.images(labels, rng)

    real = kinds.real(2, rng)
    Evaluator(kinds.features, kinds.probabilities, real, kinds.real(2, rng), 50)(sample)
    assert counts == [asked]

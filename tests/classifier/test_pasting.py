from __future__ import annotations

import numpy as np
import pytest

from tasks.classifier.arms import arm_table, missing_images, training_set
from tasks.classifier.examples import Examples
from tasks.classifier.pasting import pasted
from tasks.contracts.arms import PASTED, REPEATED
from tasks.data.tallies import is_rare
from tests.classifier.test_arms import brought_up
from tests.data.fake_sets import image_set, noise_set

CLASSES = ("ant", "bee", "cow")


def flat(counts: tuple[int, ...], size: int = 16) -> Examples:
    """Images of one grey level each, which tells the class: 0, 100 and 200."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.broadcast_to(
        (100 * labels).astype(np.uint8)[:, None, None, None], (len(labels), size, size, 1)
    )
    return Examples.of(image_set(images.copy(), labels.tolist(), CLASSES))


def test_soft_labels_are_the_shares_of_the_area() -> None:
    real = flat((30, 5, 2))
    made = pasted(real, np.tile([35, 36, 31], 50), len(CLASSES), seed=4)
    pixels = made.pixels(slice(None)).reshape(len(made), -1)
    found = np.stack([(pixels == 100 * label).mean(axis=1) for label in range(3)], axis=1)
    np.testing.assert_allclose(made.targets(np.arange(len(made))), found, atol=1e-6)
    assert made.labels.tolist() == [2, 2, 1] * 50


def test_each_pixel_is_that_of_the_box_or_of_one_other_image_at_its_own_place() -> None:
    whole = Examples.of(noise_set(12, CLASSES))
    rows = np.arange(len(whole))
    made, known = pasted(whole, rows, len(CLASSES), seed=0).pixels(rows), whole.pixels(rows)
    for row, image in enumerate(made):
        other = image != known[row]
        grounds = [ground for ground in known if (image[other] == ground[other]).all()]
        assert grounds


def test_what_is_pasted_is_one_box() -> None:
    made = pasted(flat((30, 5, 2)), np.tile([35, 36], 100), len(CLASSES), seed=2)
    soft = made.targets(np.arange(len(made)))
    whole = 0
    for image, (*_, share) in zip(made.pixels(slice(None)), soft, strict=True):
        lines, columns = np.nonzero(image[:, :, 0] == 200)
        if len(lines):
            height, width = np.ptp(lines) + 1, np.ptp(columns) + 1
            assert len(lines) == height * width
            assert share == pytest.approx(height * width / 256)
            whole += height * width == 256
    assert whole < 40  # a cow over a cow


def test_grounds_are_mostly_of_frequent_classes_and_boxes_of_every_size() -> None:
    made = pasted(flat((90, 5, 5)), np.full(2000, 99), len(CLASSES), seed=1)
    ant, bee, box = made.targets(np.arange(len(made))).T
    assert 85 / 95 < (ant > 0).sum() / ((ant > 0) | (bee > 0)).sum() < 93 / 95  # 90 to 5
    assert 0.2 < box.mean() < 0.4  # of a uniform share what the edges leave
    assert (box < 0.1).mean() > 0.1
    assert (box > 0.6).mean() > 0.05


def test_draws_follow_the_seed() -> None:
    real, rows = flat((9, 3, 1)), np.arange(13)
    one, same, other = (pasted(real, rows, 3, seed) for seed in (3, 3, 4))
    assert one.identity == same.identity != other.identity
    assert (one.pixels(rows) == same.pixels(rows)).all()


def test_the_arm_adds_what_real_repeated_adds_and_is_for_rare_classes_alone() -> None:
    arms, data = arm_table("mixup", []), brought_up(0, 3)
    again = training_set(arms[REPEATED], data, gan_seed=3, seed=2)
    chosen = training_set(arms[PASTED], data, gan_seed=3, seed=2)
    assert chosen.added.labels.tolist() == again.added.labels.tolist()
    assert chosen.stand_ins.identity == again.stand_ins.identity
    assert missing_images(arms[PASTED], data) == (
        "it is the control of rare classes, and none has half the images of another or fewer"
    )


@pytest.mark.parametrize(("counts", "rare"), [((4, 2), True), ((4, 3), False), ((7, 7), False)])
def test_half_the_images_of_another_class_are_few(counts: tuple[int, int], rare: bool) -> None:
    assert is_rare(counts).any() == rare

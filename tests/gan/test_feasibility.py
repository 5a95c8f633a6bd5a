from __future__ import annotations

from pathlib import Path

import pytest

from tasks.contracts.errors import UserError
from tasks.gan.checkpoint import check_checkpoint, save_checkpoint
from tasks.gan.model import build_gan, check_training_set
from tests.contracts.tiny import shape_set, tiny_params


def test_colour_augmentation_is_for_colour_images() -> None:
    params = tiny_params(train_gan={"diffaug": ["translation", "color"]}).train_gan
    check_training_set(shape_set(2, channels=3), params)
    with pytest.raises(UserError, match="these are grey"):
        check_training_set(shape_set(2), params)


def test_one_class_teaches_no_classifier() -> None:
    params = tiny_params().train_gan
    check_training_set(shape_set(2, ("circle", "square")), params)
    with pytest.raises(UserError, match=r"the only class is circle.*at least two"):
        check_training_set(shape_set(2, ("circle",)), params)


def test_a_checkpoint_of_another_data_set_is_refused(tmp_path: Path) -> None:
    params, train = tiny_params().train_gan, shape_set(2)
    save_checkpoint(tmp_path, build_gan(train, params, 0), train.class_names, params, 0)
    check_checkpoint(tmp_path, shape_set(5, seed=9))
    for other, words in (
        (shape_set(2, size=16), "image size are 8, the images' 16"),
        (shape_set(2, channels=3), "channels are 1, the images' 3"),
        (shape_set(2, ("circle", "square")), "classes are .*triangle.*, the images'"),
    ):
        with pytest.raises(UserError, match=words):
            check_checkpoint(tmp_path, other)

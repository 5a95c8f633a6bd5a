from __future__ import annotations

import pytest

from tasks.contracts.errors import UserError
from tasks.gan.feasibility import check_training_set
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

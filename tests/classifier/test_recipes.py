"""A recipe changes what is shown and adds nothing; each row of the table is held to that."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from tasks.classifier.recipes import RECIPES, smoothing
from tasks.contracts.params.retrain import RecipeName

GROUND = torch.full((3, 1, 1), 0.25)


def images(channels: int = 3, n: int = 40) -> torch.Tensor:
    pixels = np.random.default_rng(0).integers(0, 256, (n, channels, 8, 8))
    return torch.from_numpy(pixels).float() / 127.5 - 1.0


def test_settings_take_the_recipes_that_there_are() -> None:
    assert tuple(RECIPES) == get_args(RecipeName)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_recipe_gives_as_many_images_in_range_and_shares_of_the_classes(
    name: str, channels: int
) -> None:
    recipe, batch, labels = RECIPES[name], images(channels), torch.arange(40) % 5
    torch.manual_seed(0)
    shown = batch if recipe.augment is None else recipe.augment(GROUND[:channels], True)(batch)
    assert shown.shape == batch.shape
    assert shown.dtype == batch.dtype
    assert shown.min() >= -1 - 1e-6
    assert shown.max() <= 1 + 1e-6
    if recipe.blend is not None:
        blended, shares = recipe.blend(5)(shown, labels)
        assert blended.shape == batch.shape
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(40))


def test_smoothing_leaves_images_alone_and_the_own_class_most_likely() -> None:
    batch, labels = images(), torch.arange(40) % 5
    same, shares = smoothing(5)(batch, labels)
    assert same is batch
    assert shares[0].tolist() == pytest.approx([0.92, 0.02, 0.02, 0.02, 0.02])
    loss = torch.nn.functional.cross_entropy(torch.eye(5)[labels], shares)
    expected = torch.nn.functional.cross_entropy(torch.eye(5)[labels], labels, label_smoothing=0.1)
    assert loss == pytest.approx(expected.item())

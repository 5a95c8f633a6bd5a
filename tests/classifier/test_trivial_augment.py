"""TrivialAugment of a batch beside torchvision's, image by image and operation by operation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode, v2

from tasks.classifier.trivial_augment import OPERATIONS, Drawn, TrivialAugment

SIZE = 12
GEOMETRY = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
GROUND = torch.tensor([0.2, 0.6, 0.9])[:, None, None]
THEIRS = v2.TrivialAugmentWide(
    interpolation=InterpolationMode.BILINEAR, fill=GROUND.flatten().tolist()
)


def images(n: int, channels: int = 3) -> torch.Tensor:
    pixels = np.random.default_rng(1).integers(0, 256, (n, channels, SIZE, SIZE))
    return torch.from_numpy(pixels).float() / 255.0


def test_the_operations_are_those_of_torchvision() -> None:
    assert list(OPERATIONS) == list(THEIRS._AUGMENTATION_SPACE)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_torchvisions_at_every_strength(name: str, sign: float) -> None:
    magnitudes, signed = THEIRS._AUGMENTATION_SPACE[name]
    strengths = torch.arange(0, 31, 5) / 30  # shifts by whole pixels, as theirs are
    batch = images(len(strengths)) * 0.999 + 0.0003  # no value is a threshold itself
    drawn = Drawn(strengths, torch.full_like(strengths, sign), GROUND)
    ours = OPERATIONS[name](batch, drawn)
    for row, (image, strength) in enumerate(zip(batch, strengths, strict=True)):
        every = magnitudes(31, SIZE, SIZE)
        magnitude = 0.0 if every is None else float(every[round(float(strength) * 30)])
        if name.startswith("Translate"):
            magnitude = round(magnitude * SIZE / 32)  # theirs is for images of 32 pixels
        theirs = THEIRS._apply_image_or_video_transform(
            image,
            name,
            magnitude * sign if signed else magnitude,
            interpolation=THEIRS.interpolation,
            fill=THEIRS._fill,
        )
        compared = torch.ones_like(theirs, dtype=torch.bool)
        if name in GEOMETRY:  # half covered pixels get the fill twice there
            cover = OPERATIONS[name](torch.ones_like(batch), replace(drawn, ground=GROUND * 0))
            compared = cover[row] > 0.999
        tolerance = 1.5 / 255 if name == "Equalize" else 2e-4
        found = ours[row].clamp(0, 1)[compared]
        torch.testing.assert_close(found, theirs[compared], atol=tolerance, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("flip", [False, True])
def test_every_image_has_a_draw_of_its_own_by_the_seed(channels: int, flip: bool) -> None:
    one = (images(1, channels) * 2 - 1).repeat(200, 1, 1, 1)
    augment = TrivialAugment(GROUND[:channels], flip)
    torch.manual_seed(0)
    drawn = augment(one)
    assert drawn.shape == one.shape
    assert drawn.abs().max() <= 1
    assert len({image.numpy().tobytes() for image in drawn}) > 100
    torch.manual_seed(0)
    assert torch.equal(augment(one), drawn)


def test_what_is_uncovered_is_the_ground() -> None:
    flat = GROUND.repeat(1, SIZE, SIZE)[None].repeat(7, 1, 1, 1)
    drawn = Drawn(torch.linspace(0, 1, 7), torch.ones(7), GROUND)
    for name in GEOMETRY:
        torch.testing.assert_close(OPERATIONS[name](flat, drawn), flat)

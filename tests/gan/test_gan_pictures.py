from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tasks.contracts.errors import UserError
from tasks.gan.networks import NetworkSpec, build_generator
from tasks.gan.pictures import (
    PICTURES,
    interpolation,
    offered,
    sample_grid,
    slerp,
    style_mixing,
    truncation_sweep,
)
from tasks.gan.sampling import latents_of, sample
from tests.contracts.tiny import tiny_params

NAMES, SIZE = ("ant", "bee", "cow"), 2
CLASSES = len(NAMES)


class Plain(nn.Module):
    """Images of one grey: the label's level plus the latent's first number."""

    def __init__(self) -> None:
        super().__init__()
        self.latent_dim = 4
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        grey = self.scale * (4 * latents[:, 0] + 2 * labels)
        return grey[:, None, None, None].expand(-1, 1, SIZE, SIZE).clamp(-1, 1)


class Styled(Plain):
    """Top rows from the first layer's style, bottom rows from the second's."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean_style", torch.arange(float(CLASSES))[:, None])

    def map(self, latents: Tensor, labels: Tensor) -> Tensor:
        style = torch.tanh(4 * latents[:, :1]) + labels[:, None]
        return style[:, None].expand(-1, 2, -1)

    def synthesise(self, styles: Tensor) -> Tensor:
        rows = self.scale * styles[:, :, 0]
        return rows[:, None, :, None].expand(-1, 1, SIZE, SIZE)


def grey(value: float) -> int:
    return round((value + 1) * 127.5)


@pytest.mark.parametrize("generator", [Plain(), Styled()])
def test_a_walk_goes_from_one_image_to_the_other_and_rows_are_classes(generator: Plain) -> None:
    board = interpolation(generator.eval(), NAMES, steps=5)
    assert board.cells.shape == (CLASSES, 5, SIZE, SIZE, 1)
    assert board.cells.dtype == np.uint8
    assert tuple(board.names) == NAMES
    latents, labels = latents_of(np.arange(2), 4), torch.arange(CLASSES)
    for column, latent in ((0, latents[:1]), (4, latents[1:])):
        latent = latent.expand(CLASSES, -1)
        with torch.no_grad():
            ends = (
                generator.synthesise(generator.map(latent, labels))
                if isinstance(generator, Styled)
                else generator(latent, labels)
            )
        expected = [grey(image.flatten()[0].item()) for image in ends]
        assert board.cells[:, column, 0, 0, 0].tolist() == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(("classes", "shown"), [(3, [0, 1, 2]), (1000, [0, 32, 64, 999])])
def test_a_grid_has_a_row_a_class_and_of_many_some_that_are_spread_evenly(
    classes: int, shown: list[int]
) -> None:
    generator = Plain().eval()
    generator.scale = nn.Parameter(torch.tensor(2e-4))  # a grey of its own for each few classes
    board = sample_grid(generator, [f"class {label}" for label in range(classes)])
    assert board.cells.shape[:2] == (len(board.names), 8) == (min(classes, 32), 8)
    for row, label in zip((0, 1, 2, -1), shown, strict=False):
        alone = sample(generator, np.full(8, label), np.arange(8))
        np.testing.assert_array_equal(board.cells[row], alone)
        assert board.names[row] == f"class {label}"


def test_slerp_keeps_length_and_turns_evenly() -> None:
    first, last = latents_of(np.arange(2), 64).split(1)
    first, last = first / first.norm(), last / last.norm()
    whole = math.acos(float((first * last).sum()))
    for share in (0.0, 0.25, 0.5, 1.0):
        there = slerp(first, last, share)
        assert float(there.norm()) == pytest.approx(1.0, abs=1e-5)
        turned = math.acos(min(1.0, float((first * there).sum())))
        assert turned == pytest.approx(share * whole, abs=1e-3)
    same = slerp(first, first, 0.3)  # no angle to divide by
    torch.testing.assert_close(same, first)


@pytest.mark.parametrize("generator", [Plain(), Styled()])
def test_truncation_ends_at_the_mean_and_at_the_image_itself(generator: Plain) -> None:
    values = (0.0, 0.5, 1.0)
    board = truncation_sweep(generator.eval(), NAMES, values)
    assert tuple(board.names) == NAMES
    picture = board.cells[..., 0]
    assert picture.shape[:2] == (CLASSES, len(values))
    mean = [0.1 * (k if isinstance(generator, Styled) else 2 * k) for k in range(CLASSES)]
    assert picture[:, 0, 0, 0].tolist() == pytest.approx([grey(m) for m in mean], abs=1)
    far = np.abs(picture[:, :, 0, 0].astype(int) - picture[:, :1, 0, 0])
    assert (np.diff(far, axis=1) > 0).all()  # the further, the freer


def test_mixing_takes_coarse_layers_by_row_and_fine_ones_by_column() -> None:
    board = style_mixing(Styled().eval(), NAMES, rows=2, columns=3)
    assert board.cells.shape[:2] == (9, 4)
    assert list(board.names) == ["ant", "", "", "bee", "", "", "cow", "", ""]
    picture = board.cells[3:6, ..., 0]
    assert (picture[0, 0] == 255).all()
    for row in (1, 2):
        for column in (1, 2, 3):
            assert (picture[row, column, 0] == picture[row, 0, 0]).all()
            assert (picture[row, column, 1] == picture[0, column, 1]).all()
    assert len(np.unique(picture[1:, 0, 0, 0])) == 2


def test_a_network_without_styles_offers_no_mixing_and_says_so() -> None:
    assert offered(Plain()) == ("classes", "interpolation", "truncation")
    assert offered(Styled()) == tuple(PICTURES)
    with pytest.raises(UserError, match=r"no styles to mix\. Choose one of classes"):
        style_mixing(Plain(), NAMES)


@pytest.mark.parametrize("network", ["conv", "stylegan", "vae"])
@pytest.mark.parametrize(("classes", "channels"), [(1, 1), (70, 3)])
def test_every_offered_picture_of_a_real_network(network: str, classes: int, channels: int) -> None:
    vae = {"conditioning": "concat", "loss": "elbo", "penalties": {}, "diffaug": []}
    params = tiny_params(
        train_gan={"network": network} | (vae if network == "vae" else {})
    ).train_gan
    generator = build_generator(NetworkSpec.of(params, (8, 8, channels), classes)).eval()
    names = [f"class {label}" for label in range(classes)]
    for kind in offered(generator):
        board = PICTURES[kind](generator, names)
        rows = 4 * min(classes, 4) if kind == "style-mixing" else min(classes, 32)
        assert board.cells.shape[0] == len(board.names) == rows
        assert board.cells.shape[4] == channels
        assert board.png() == PICTURES[kind](generator, names).png()

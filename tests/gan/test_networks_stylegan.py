from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tasks.gan.networks import build_generator
from tasks.gan.networks.modulation import ModulatedConv, StyledConv
from tasks.gan.networks.stylegan import StyleGenerator
from tests.gan.tiny_networks import tiny_spec
from tests.reference.gan_modulation import modulated_conv


@pytest.fixture
def generator() -> StyleGenerator:
    return style_generator()


def style_generator(**overrides: object) -> StyleGenerator:
    torch.manual_seed(0)
    generator = build_generator(tiny_spec("stylegan", image_size=16, **overrides))
    assert isinstance(generator, StyleGenerator)
    return generator.eval()


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("kernel", [1, 3])
def test_modulation_is_that_of_the_paper(demodulate: bool, kernel: int) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(5, 7, kernel, 6, demodulate=demodulate).double()
    x, style = torch.randn(3, 5, 8, 8).double(), torch.randn(3, 6).double()
    expected = modulated_conv(x, layer.weight.detach(), layer.affine(style).detach(), demodulate)
    torch.testing.assert_close(layer(x, style).detach(), expected)


def test_demodulation_keeps_the_variance_however_large_the_style() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(32, 32, 3, 6, demodulate=True)
    x, style = torch.randn(8, 32, 16, 16), torch.randn(8, 6)
    spreads = [float(layer(x, size * style).detach().std()) for size in (1.0, 100.0)]
    assert spreads == pytest.approx([1.0, 1.0], abs=0.15)


def test_noise_is_drawn_in_training_and_fixed_in_eval_mode() -> None:
    torch.manual_seed(0)
    layer = StyledConv(4, 4, 8, 6)
    x, style = torch.randn(2, 4, 8, 8), torch.randn(2, 6)
    with torch.no_grad():
        assert torch.equal(layer(x, style), layer(x, style)), "its strength begins at zero"
        layer.strength.fill_(0.5)
        assert not torch.equal(layer(x, style), layer(x, style))
        layer.eval()
        assert torch.equal(layer(x, style), layer(x, style))


def test_an_image_is_what_its_mapped_styles_make(generator: StyleGenerator) -> None:
    latents, labels = torch.randn(4, 5), torch.tensor([0, 1, 2, 0])
    styles = generator.map(latents, labels)
    assert styles.shape == (4, generator.layers, generator.style_dim)
    assert torch.equal(generator.synthesise(styles), generator(latents, labels))


def test_every_layer_has_a_style_that_matters(generator: StyleGenerator) -> None:
    styles = generator.map(torch.randn(1, 5), torch.tensor([0])).clone()
    before = generator.synthesise(styles)
    for layer in range(generator.layers):
        other = styles.clone()
        other[:, layer] += 1.0
        assert not torch.equal(generator.synthesise(other), before), layer


def test_the_length_of_a_latent_says_nothing(generator: StyleGenerator) -> None:
    latents, labels = torch.randn(4, 5), torch.arange(4) % 3
    torch.testing.assert_close(generator(3 * latents, labels), generator(latents, labels))


def mixed_layers(generator: StyleGenerator, latents: Tensor, labels: Tensor) -> Tensor:
    """True ``[N, layers]`` where a style is not the latent's own."""
    own, seen = generator.map(latents, labels), []
    generator.synthesise = lambda styles: seen.append(styles)  # type: ignore[method-assign, assignment]
    generator(latents, labels)
    return ~torch.isclose(seen[0], own).all(dim=2)


def test_in_training_most_images_take_their_fine_layers_from_another_latent(
    generator: StyleGenerator,
) -> None:
    generator.train()
    mixed = mixed_layers(generator, torch.randn(600, 5), torch.arange(600) % 3)
    assert not mixed[:, 0].any(), "the coarsest layer is the image's own"
    assert (mixed[:, 1:] >= mixed[:, :-1]).all(), "from one layer on, all are another's"
    assert 0.85 < float(mixed[:, -1].float().mean()) < 0.95
    starts = mixed.sum(dim=1)[mixed.any(dim=1)]
    assert set(starts.tolist()) == set(range(1, generator.layers)), "every crossover occurs"


def test_in_eval_mode_nothing_is_mixed(generator: StyleGenerator) -> None:
    assert not mixed_layers(generator, torch.randn(50, 5), torch.arange(50) % 3).any()


@pytest.mark.parametrize("conditioning", ["none", "projection"])
def test_the_mean_style_follows_each_class(conditioning: str) -> None:
    generator = style_generator(conditioning=conditioning).train()
    for _ in range(60):
        generator(torch.randn(64, 5), torch.randint(0, 2, (64,)))
    means = generator.mean_style
    latents = torch.randn(4000, 5)
    for label in (0, 1):
        expected = generator.map(latents, torch.full((4000,), label))[:, 0].mean(dim=0).detach()
        torch.testing.assert_close(means[label], expected, atol=0.1, rtol=0.1)
    if conditioning == "none":
        assert torch.equal(means[2], means[0]), "without conditioning there is one mean"
    else:
        assert not means[2].any(), "a class that was not drawn has moved nothing"
    assert not means.requires_grad


def test_in_eval_mode_the_mean_style_rests(generator: StyleGenerator) -> None:
    before = generator.mean_style.clone()
    generator(torch.randn(8, 5), torch.arange(8) % 3)
    assert torch.equal(generator.mean_style, before)

"""What holds for every network, whatever it is made of."""

from __future__ import annotations

import copy
import dataclasses
import json
import math

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from tasks.gan.networks import NETWORKS, NetworkSpec, build_discriminator, build_generator
from tasks.gan.networks.conv import Doubled, conv
from tests.contracts.tiny import tiny_params
from tests.gan.tiny_networks import grown_pair, tiny_spec

SIZES = [8, 32, 128]
ADVERSARIAL = [name for name in NETWORKS if name != "vae"]
PER_IMAGE = [name for name in ADVERSARIAL if name != "dcgan"]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_range_and_scale_before_training(name: str, size: int, channels: int) -> None:
    generator, discriminator = grown_pair(tiny_spec(name, image_size=size, channels=channels))
    labels = torch.arange(16) % 3
    for network in (generator, discriminator):
        network.train()  # eval mode of batch norm means nothing before it has seen a batch
    with torch.no_grad():
        images = generator(torch.randn(16, 5), labels)
        assert images.shape == (16, channels, size, size)
        # neither one grey nor black and white: the gradient has to get through the tanh
        assert 0.01 < float(images.std()) < 0.8
        assert float((images.abs() > 0.99).float().mean()) < 0.1
        assert float(images.std(dim=0).mean()) > 0.005, "latents make no difference"
        if name != "translator":  # nothing bounds its images, see test_translator.py
            assert float(generator(100 * torch.randn(4, 5), labels[:4]).abs().max()) <= 1
        for seen in (images, 2 * torch.rand_like(images) - 1):
            logits = discriminator(seen, labels)
            assert logits.shape == (16,)
            assert float(logits.abs().max()) < 10


def test_a_doubled_convolution_is_that_of_the_repeated_image_with_its_gradients() -> None:
    torch.manual_seed(0)
    layer, image = Doubled(3, 2).double(), torch.randn(4, 3, 5, 6).double().requires_grad_(True)
    repeated = F.interpolate(image, scale_factor=2)
    slow = F.conv2d(repeated, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(image), slow)
    wanted = (image, layer.weight, layer.bias)
    for mine, theirs in zip(
        torch.autograd.grad(layer(image).square().sum(), wanted),
        torch.autograd.grad(slow.square().sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_weights_saved_when_doubling_was_a_layer_of_its_own_still_load() -> None:
    def former(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            conv(inputs, inputs), nn.Upsample(scale_factor=2), conv(inputs, outputs)
        )

    generator = build_generator(tiny_spec("conv", image_size=32)).eval()
    older = copy.deepcopy(generator)
    widths = [(level[0][0].in_channels, level[-1][0].out_channels) for level in older.levels]
    older.levels = nn.Sequential(*(former(*both) for both in widths))
    generator.load_state_dict(older.state_dict())
    latents, labels = torch.randn(6, 5), torch.arange(6) % 3
    torch.testing.assert_close(generator(latents, labels), older(latents, labels))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [8, 32])
def test_in_eval_mode_an_image_depends_on_itself_alone(name: str, size: int) -> None:
    generator, discriminator = grown_pair(tiny_spec(name, image_size=size, dropout=0.5))
    latents, labels = torch.randn(7, 5), torch.arange(7) % 3
    images = generator(latents, labels).detach()
    assert torch.equal(generator(latents, labels), images), "not a function of its input"
    logits = discriminator(images, labels)
    for i in range(7):
        one = slice(i, i + 1)
        alone = generator(latents[one], labels[one])
        torch.testing.assert_close(alone, images[one], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(
            discriminator(images[one], labels[one]), logits[one], atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("name", PER_IMAGE)
def test_in_training_a_logit_has_a_gradient_by_its_own_image_alone(name: str) -> None:
    # what r1, r2 and the gradient penalty rest on
    _, discriminator = grown_pair(tiny_spec(name))
    images = torch.randn(4, 1, 8, 8, requires_grad=True)
    logits = discriminator.train()(images, torch.arange(4) % 3)
    (gradient,) = torch.autograd.grad(logits[2], images, create_graph=True)
    assert [float(g.abs().sum()) > 0 for g in gradient.detach()] == [False, False, True, False]
    gradient.square().sum().backward()  # and once more, for the penalty's own gradient


@pytest.mark.parametrize("name", NETWORKS)
def test_the_label_matters_to_both(name: str) -> None:
    generator, discriminator = grown_pair(tiny_spec(name))
    images = generator(torch.randn(1, 5).expand(3, -1), torch.arange(3))
    assert len(torch.unique(images.flatten(1), dim=0)) == 3
    logits = discriminator(images[:1].expand(3, -1, -1, -1), torch.arange(3))
    assert len(torch.unique(logits)) == 3


@pytest.mark.parametrize("name", [name for name in ADVERSARIAL if name != "translator"])
def test_without_conditioning_the_label_matters_to_neither(name: str) -> None:
    generator, discriminator = grown_pair(tiny_spec(name, conditioning="none"))
    images = generator(torch.randn(1, 5).expand(3, -1), torch.arange(3))
    torch.testing.assert_close(images[1:], images[:1].expand(2, -1, -1, -1))
    logits = discriminator(images, torch.arange(3))
    torch.testing.assert_close(logits[1:], logits[:1].expand(2))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [8, 32])
def test_every_weight_learns_and_every_pixel_counts(name: str, size: int) -> None:
    pair = grown_pair(tiny_spec(name, image_size=size, channels=3))
    generator, discriminator = pair
    labels = torch.arange(3).repeat(3)
    untaught = {(n, weight) for n in (0, 1) for weight, _ in pair[n].named_parameters()}
    for done in (0.0, 0.15, 0.3, 0.45, 1.0):  # one that grows needs other weights at each size
        for network in pair:
            network.train().zero_grad()
            if hasattr(network, "set_progress"):
                network.set_progress(done)
        images = generator(torch.randn(9, 5), labels)
        images.retain_grad()
        discriminator(images, labels).sum().backward()
        untaught -= {
            (n, weight)
            for n in (0, 1)
            for weight, parameter in pair[n].named_parameters()
            if parameter.grad is not None and parameter.grad.abs().sum() > 0
        }
        assert images.grad is not None
        assert (images.grad.abs().sum(dim=(0, 1)) > 0).all()
    assert not untaught


@pytest.mark.parametrize("name", NETWORKS)
def test_training_is_random_by_torchs_global_state_alone(name: str) -> None:
    generator, discriminator = grown_pair(tiny_spec(name, dropout=0.3))
    latents, labels = torch.randn(6, 5), torch.arange(6) % 3
    made = []
    for network in (generator, discriminator):
        network.train()
        for seed in (1, 1):
            again = copy.deepcopy(network)
            torch.manual_seed(seed)
            made.append(again(latents if network is generator else made[0], labels).detach())
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[2], made[3])


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_last_and_half_precision_run(name: str) -> None:
    generator, discriminator = (n.train() for n in grown_pair(tiny_spec(name)))
    images = generator.to(memory_format=torch.channels_last)(torch.randn(4, 5), torch.arange(4) % 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        seen = images.to(memory_format=torch.channels_last)
        logits = discriminator.to(memory_format=torch.channels_last)(seen, torch.arange(4) % 3)
        generator(torch.randn(4, 5), torch.arange(4) % 3)
    logits.float().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in generator.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_seed_builds_the_same_weights_in_any_mode(name: str) -> None:
    def weights(network: nn.Module) -> list[torch.Tensor]:
        return list(network.state_dict().values())

    one, two, other = (grown_pair(tiny_spec(name), seed) for seed in (3, 3, 4))
    for first, second, third in zip(one, two, other, strict=True):
        assert all(map(torch.equal, weights(first), weights(second)))
        assert not all(map(torch.equal, weights(first), weights(third)))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_single_class_is_enough(name: str) -> None:
    generator, discriminator = grown_pair(tiny_spec(name, classes=1))
    labels = torch.zeros(2, dtype=torch.int64)
    assert discriminator(generator(torch.randn(2, 5), labels), labels).shape == (2,)


def test_a_spec_says_what_the_parameters_ask_for_and_survives_json() -> None:
    params = tiny_params(train_gan={"network": "stylegan", "width": 12, "dropout": 0.25}).train_gan
    spec = NetworkSpec.of(params, (32, 32, 3), 7)
    assert (spec.network, spec.width, spec.dropout) == ("stylegan", 12, 0.25)
    assert (spec.image_size, spec.channels, spec.classes) == (32, 3, 7)
    assert (spec.conditioning, spec.latent_dim) == (params.conditioning, params.latent_dim)
    assert NetworkSpec(**json.loads(json.dumps(dataclasses.asdict(spec)))) == spec


@pytest.mark.parametrize(
    "wrong",
    [{"width": 0}, {"width": "8"}, {"classes": 0}, {"network": "gone"}, {"dropout": math.nan}],
)
def test_a_spec_that_builds_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        tiny_spec(**wrong)  # type: ignore[arg-type]


def test_width_is_the_channels_at_full_resolution_and_doubles_to_four_times() -> None:
    # the numbers of weights grow with the square of the width
    counts = [
        sum(p.numel() for p in build(tiny_spec(width=width, image_size=32)).parameters())
        for build in (build_generator, build_discriminator)
        for width in (8, 16)
    ]
    assert 2.5 < counts[1] / counts[0] < 4
    assert 2.5 < counts[3] / counts[2] < 4

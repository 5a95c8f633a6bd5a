from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.draws import Draws, RealBatches
from tasks.gan.model import Gan, build_gan
from tasks.gan.networks.autoencoder import VaeScore, divergence
from tasks.gan.sampling import discriminator_logits
from tasks.gan.vae import VaeStep
from tests.contracts.tiny import tiny_params
from tests.data.fake_sets import image_set

GREY = (40, 200)  # of the two classes


def settings(**overrides: object) -> TrainGanParams:
    values = {
        "network": "vae",
        "conditioning": "concat",
        "loss": "elbo",
        "penalties": {},
        "diffaug": [],
        "learning_rate": 0.004,
        "batch_size": 32,
    }
    return tiny_params(train_gan=values | overrides).train_gan


@pytest.fixture(scope="module")
def flat() -> ImageSet:
    """Two classes, one dark and one light, each image of its own grey."""
    greys = np.random.default_rng(0).integers(-20, 21, 40) + np.repeat(GREY, 20)
    images = np.broadcast_to(greys[:, None, None, None], (40, 8, 8, 1)).astype(np.uint8)
    return image_set(images, np.repeat([0, 1], 20), ("dark", "light"))


def start(flat: ImageSet, params: TrainGanParams, seed: int = 0) -> tuple[Gan, VaeStep]:
    gan = build_gan(flat, params, seed)
    data = RealBatches(
        flat,
        None,
        batch_size=params.batch_size,
        balanced=True,
        seed=seed,
        device=torch.device("cpu"),
    )
    return gan, VaeStep(gan, data, params, Draws(torch.Generator().manual_seed(seed)))


@pytest.fixture(scope="module")
def trained(flat: ImageSet) -> tuple[Gan, list[dict[str, Tensor]]]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the fixture that does so for a test comes after this one
    gan, step = start(flat, settings())
    curves = [step.step(n / 200) for n in range(200)]
    torch.set_num_threads(before)
    return gan, curves


def test_it_learns_each_class_under_its_label(
    trained: tuple[Gan, list[dict[str, Tensor]]],
) -> None:
    gan, curves = trained
    latents = torch.randn(50, 4)
    for label, grey in enumerate(GREY):
        images = gan.generator(latents, torch.full((50,), label)).detach()
        assert float(images.mean()) == pytest.approx(grey / 127.5 - 1, abs=0.1)
        assert float(images.mean(dim=(1, 2, 3)).std()) > 0.01, "images of a class differ"
    assert curves[-1]["loss_g"] < curves[0]["loss_g"] - 1
    assert all(math.isfinite(value) for row in curves for value in row.values())


def test_its_curves_have_the_six_names(trained: tuple[Gan, list[dict[str, Tensor]]]) -> None:
    names = {"loss_g", "loss_d", "logit_real", "logit_fake", "grad_norm_g", "grad_norm_d"}
    assert set(trained[1][-1]) == names
    assert all(not value.requires_grad and value.ndim == 0 for value in trained[1][-1].values())


def test_its_score_is_high_for_images_that_fit_their_label(
    trained: tuple[Gan, list[dict[str, Tensor]]], flat: ImageSet
) -> None:
    score = trained[0].discriminator
    right = discriminator_logits(score, flat)
    swapped = image_set(flat.images, 1 - flat.labels, flat.class_names)
    noise = np.random.default_rng(1).integers(0, 256, flat.images.shape).astype(np.uint8)
    strange = discriminator_logits(score, image_set(noise, flat.labels, flat.class_names))
    assert right.min() > max(discriminator_logits(score, swapped).max(), strange.max())
    np.testing.assert_array_equal(right, discriminator_logits(score, flat))


def test_the_saved_score_has_the_generator_in_it(
    trained: tuple[Gan, list[dict[str, Tensor]]],
) -> None:
    gan, _ = trained
    inside = gan.discriminator.state_dict()
    for name, weight in gan.generator.state_dict().items():
        assert torch.equal(inside[f"decoder.{name}"], weight)


def test_the_bound_is_the_likelihood_less_the_divergence() -> None:
    torch.manual_seed(0)
    gan = build_gan(image_set(np.zeros((2, 8, 8, 1), np.uint8), [0, 1], ("a", "b")), settings(), 0)
    score = gan.discriminator
    assert isinstance(score, VaeScore)
    with torch.no_grad():
        score.log_sigma.fill_(-0.7)
        images, labels = torch.rand(5, 1, 8, 8) * 2 - 1, torch.tensor([0, 1, 1, 0, 1])
        mean, log_variance = score.encoder(images, labels)
        posterior = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
        pixel = torch.distributions.Normal(score.decoder(mean, labels), math.exp(-0.7))
        prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
        cost = torch.distributions.kl_divergence(posterior, prior).sum(1)
        expected = (pixel.log_prob(images).sum(dim=(1, 2, 3)) - cost) / 64
        torch.testing.assert_close(divergence(mean, log_variance), cost)
        torch.testing.assert_close(score(images, labels), expected)


def test_a_run_that_is_restored_goes_on_as_if_it_had_not_stopped(flat: ImageSet) -> None:
    gan, step = start(flat, settings())
    for n in range(3):
        step.step(n / 10)
    tensors, facts = step.state()
    random = step.draws.generator.get_state()
    weights = {n: t.clone() for n, t in gan.discriminator.state_dict().items()}
    expected = [step.step(n / 10) for n in range(3, 6)]

    again, other = start(flat, settings(), seed=5)
    again.discriminator.load_state_dict(weights)
    other.restore(tensors, facts)
    other.draws.generator.set_state(random)
    assert [other.step(n / 10) for n in range(3, 6)] == expected
    for one, two in zip(gan.generator.parameters(), again.generator.parameters(), strict=True):
        assert torch.equal(one, two)


def test_softened_it_learns_at_half_the_rate(flat: ImageSet) -> None:
    _, step = start(flat, settings(rate_schedule="constant"))
    rates = []
    for gentleness in range(3):
        step.gentleness = gentleness
        step.step(0.9)
        rates.append(step.optimizer.param_groups[0]["lr"])
    assert rates == [0.004, 0.002, 0.001]

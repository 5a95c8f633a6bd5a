from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tasks.gan.networks import NETWORKS, Discriminator, build_discriminator
from tasks.gan.networks.conditioning import HEADS, LabelledLatent
from tests.gan.tiny_networks import tiny_spec

ADVERSARIAL = [name for name in NETWORKS if name != "vae"]
UNLABELLED = torch.full((4,), -1)


def judge_of(conditioning: str, network: str = "resnet", **overrides: object) -> Discriminator:
    torch.manual_seed(0)
    spec = tiny_spec(network, conditioning=conditioning, **overrides)
    discriminator = build_discriminator(spec).eval()
    assert isinstance(discriminator, Discriminator)
    if hasattr(discriminator, "set_progress"):
        discriminator.set_progress(1.0)
    return discriminator


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("conditioning", HEADS)
@pytest.mark.parametrize("network", ADVERSARIAL)
def test_every_network_takes_every_conditioning(
    network: str, conditioning: str, images: Tensor
) -> None:
    discriminator = judge_of(conditioning, network, spectral_norm=True, dropout=0.5)
    labels = torch.tensor([0, 1, 2, -1])
    judged = discriminator.judge(images, labels)
    assert torch.equal(judged.logits, discriminator(images, labels))
    assert judged.features.ndim == 2
    assert (judged.class_logits is not None) == (conditioning == "auxiliary")
    if judged.class_logits is not None:
        domains = 2 if network == "translator" else 1
        assert judged.class_logits.shape == (4, 3 * domains)
    (judged.logits.sum() + judged.features.sum()).backward()


@pytest.mark.parametrize("conditioning", HEADS)
def test_without_a_label_the_logit_is_that_of_the_features_alone(
    conditioning: str, images: Tensor
) -> None:
    discriminator = judge_of(conditioning)
    judged = discriminator.judge(images, UNLABELLED)
    unconditional = discriminator.head.logit(judged.features).squeeze(1)
    torch.testing.assert_close(judged.logits, unconditional)


def test_projection_adds_the_inner_product_of_its_label(images: Tensor) -> None:
    discriminator = judge_of("projection")
    labels = torch.tensor([2, -1, 0, 2])
    features = discriminator.judge(images, labels).features
    added = discriminator(images, labels) - discriminator(images, UNLABELLED)
    rows = discriminator.head.embed.weight  # type: ignore[union-attr]
    for i, label in enumerate(labels.tolist()):
        expected = float((features[i] @ rows[label]).detach()) if label >= 0 else 0.0
        assert float(added[i].detach()) == pytest.approx(expected, abs=1e-5)


def test_concat_puts_the_labels_plane_behind_the_image(images: Tensor) -> None:
    head = judge_of("concat").head
    seen = head.enter(images, torch.tensor([1, 2, -1, 1]))
    assert torch.equal(seen[:, :1], images)
    assert torch.equal(seen[0, 1], seen[3, 1])
    assert not torch.equal(seen[0, 1], seen[1, 1])
    assert not seen[2, 1].any()


def test_an_auxiliary_class_is_told_from_the_image_not_from_the_label(images: Tensor) -> None:
    discriminator = judge_of("auxiliary")
    told = [discriminator.judge(images, torch.full((4,), label)) for label in (-1, 0, 2)]
    for judged in told[1:]:
        assert judged.class_logits is not None
        assert told[0].class_logits is not None
        assert torch.equal(judged.class_logits, told[0].class_logits)
        assert torch.equal(judged.logits, told[0].logits)


@pytest.mark.parametrize("network", ADVERSARIAL)
def test_spectral_norm_bounds_every_weight_and_rests_in_eval_mode(
    network: str, images: Tensor
) -> None:
    discriminator = judge_of("projection", network, spectral_norm=True).train()
    labels = torch.tensor([0, 1, 2, -1])
    with torch.no_grad():
        for _, parameter in discriminator.named_parameters():
            parameter.mul_(7.0)
        for _ in range(60):  # one step of the power iteration each
            discriminator(images, labels)
    discriminator.eval()
    before = {name: tensor.clone() for name, tensor in discriminator.state_dict().items()}
    first = discriminator(images, labels)
    assert torch.equal(first, discriminator(images, labels))
    assert all(torch.equal(before[n], t) for n, t in discriminator.state_dict().items())
    checked = 0
    for name, module in discriminator.named_modules():
        if isinstance(module, torch.nn.modules.conv._ConvNd | torch.nn.Linear | torch.nn.Embedding):
            largest = torch.linalg.matrix_norm(module.weight.flatten(1), 2)
            assert float(largest.detach()) == pytest.approx(1.0, abs=0.02), name
            checked += 1
    assert checked >= 3


def test_spectral_norm_leaves_the_labels_plane_its_size() -> None:
    discriminator = judge_of("concat", spectral_norm=True)
    plane = discriminator.head.enter(torch.zeros(1, 1, 8, 8), torch.tensor([0]))[:, 1]
    assert 0.5 < float(plane.std().detach()) < 2


def test_dropout_is_for_training_and_spares_the_features_told(images: Tensor) -> None:
    discriminator = judge_of("projection", dropout=0.5)
    labels = torch.tensor([0, 1, 2, 0])
    calm = discriminator.judge(images, labels)
    wild = [discriminator.train().judge(images, labels) for _ in range(2)]
    assert torch.equal(calm.features, wild[0].features)
    assert not torch.equal(wild[0].logits, wild[1].logits)


def test_a_latent_carries_its_label_unless_there_is_no_conditioning() -> None:
    latents, labels = torch.randn(3, 5), torch.tensor([0, 2, 0])
    entry = LabelledLatent(tiny_spec())
    both = entry(latents, labels)
    assert both.shape == (3, entry.size)
    assert torch.equal(both[:, :5], latents)
    assert torch.equal(both[0, 5:], both[2, 5:])
    assert not torch.equal(both[0, 5:], both[1, 5:])
    alone = LabelledLatent(tiny_spec(conditioning="none"))
    assert torch.equal(alone(latents, labels), latents)
    assert not list(alone.parameters())

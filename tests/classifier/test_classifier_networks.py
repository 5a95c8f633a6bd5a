from __future__ import annotations

import pytest
import torch
from torch import nn

from tasks.classifier.networks import build_classifier
from tasks.contracts.errors import UserError


def build(name: str, channels: int = 1, size: int = 32) -> nn.Module:
    torch.manual_seed(0)
    return build_classifier(name, channels=channels, classes=3, image_size=size)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("small_cnn", 8),
        ("small_cnn", 64),
        ("squeezenet1_1", 32),
        ("mobilenet_v3_small", 32),
        ("mobilenetv4_conv_small", 32),  # timm's, as is the next
        ("vit_tiny_patch16_224", 32),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_it_takes_grey_and_colour_images(name: str, size: int, channels: int) -> None:
    network = build(name, channels, size)
    images = torch.randn(4, channels, size, size, requires_grad=True)
    logits = network.train()(images)
    assert logits.shape == (4, 3)
    logits.sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().sum(dim=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("name", ["small_cnn", "mobilenet_v3_small", "mobilenetv4_conv_small"])
def test_building_leaves_no_trace_but_the_weights(name: str) -> None:
    network = build(name)
    after = torch.rand(1)
    for key, value in network.state_dict().items():
        if key.endswith(("running_mean", "num_batches_tracked")):
            assert not value.any(), key
        if key.endswith("running_var"):
            assert (value == 1).all(), key
    again = build(name)
    for one, two in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
    assert torch.equal(torch.rand(1), after)


@pytest.mark.parametrize(
    "name",
    ["resnet81", "small-cnn", "", "fasterrcnn_resnet50_fpn", "os.system", "hf-hub:timm/resnet18"],
)
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"no such classifier.*small_cnn or a torchvision or timm"):
        build(name)


@pytest.mark.parametrize("name", ["squeezenet1_1", "vit_b_32", "vit_tiny_patch16_224"])
def test_images_too_small_for_a_model_are_said(name: str) -> None:
    with pytest.raises(UserError, match=rf"{name}: it cannot take 8 px images") as caught:
        build(name, size=8)
    assert "ingest.image_size" in caught.value.mend
    assert len(str(caught.value)) < 400

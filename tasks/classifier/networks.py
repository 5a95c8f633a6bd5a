"""Classifiers by name, untrained: our small CNN, any torchvision or timm classification model."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from tasks.contracts.errors import UserError

SMALL_CNN = "small_cnn"


class SmallCnn(nn.Module):
    """Three stages of convolution, batch norm and ReLU (32, 64, 128 channels), then averaging.

    The first stage keeps the size, the others halve it, so it fits images from 8 px up.
    """

    def __init__(self, *, channels: int, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _stage(channels, 32, stride=1),
            _stage(32, 64, stride=2),
            _stage(64, 128, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(128, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` in -1..1 to logits ``[N, K]``."""
        logits: Tensor = self.head(self.features(images))
        return logits


class TorchvisionClassifier(nn.Module):
    """A torchvision model on images of 1 or 3 channels; grey is repeated to three."""

    def __init__(self, name: str, *, classes: int) -> None:
        super().__init__()
        from torchvision import models  # seconds, and most people ask for the small network

        self.model = models.get_model(name, weights=None, num_classes=classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, 1 or 3, H, W]`` in -1..1 to logits ``[N, K]``."""
        output = self.model(images.expand(-1, 3, -1, -1))
        logits: Tensor = output if isinstance(output, Tensor) else output[0]  # Inception's tuple
        return logits


class TimmClassifier(nn.Module):
    """A timm model on images of any number of channels, at their own size where it can."""

    def __init__(self, name: str, *, channels: int, classes: int, image_size: int) -> None:
        super().__init__()
        import timm  # seconds too

        known = timm.get_pretrained_cfg(name)
        fixed = known is not None and known.fixed_input_size
        size: dict[str, Any] = {"img_size": image_size} if fixed else {}
        self.model = timm.create_model(
            name, pretrained=False, in_chans=channels, num_classes=classes, **size
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images ``[N, C, H, W]`` in -1..1 to logits ``[N, K]``."""
        logits: Tensor = self.model(images)
        return logits


def build_classifier(name: str, *, channels: int, classes: int, image_size: int) -> nn.Module:
    """Build an untrained classifier, its weights drawn from torch's global random state.

    A name that torchvision and timm both know is torchvision's.

    Raises:
        UserError: an unknown name, or a model that cannot take images this small.
    """
    if name == SMALL_CNN:
        return SmallCnn(channels=channels, classes=classes)
    try:
        network = _from_library(name, channels, classes, image_size)
        with torch.random.fork_rng(), torch.no_grad():
            # a copy, so that no batch norm remembers the blank images
            copy.deepcopy(network)(torch.zeros(2, channels, image_size, image_size))
    except (RuntimeError, ValueError, AssertionError, ArithmeticError) as error:
        raise UserError(
            f"retrain.classifier: {name}",
            f"it cannot take {image_size} px images ({_first_line(error)})",
            "Raise ingest.image_size or choose another classifier",
        ) from None
    return network


def _from_library(name: str, channels: int, classes: int, image_size: int) -> nn.Module:
    from torchvision import models

    if name in models.list_models(module=models):
        return TorchvisionClassifier(name, classes=classes)
    import timm

    if timm.is_model(name):
        return TimmClassifier(name, channels=channels, classes=classes, image_size=image_size)
    raise UserError(
        f"retrain.classifier: {name}",
        "no such classifier",
        f"Use {SMALL_CNN} or a torchvision or timm model, such as resnet18 or convnext_atto",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _stage(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )

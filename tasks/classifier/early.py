"""Settings that only a late stage uses, seen before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from tasks.classifier.features import inception_judge
from tasks.classifier.networks import SMALL_CNN, build_classifier
from tasks.classifier.saved import load_weights
from tasks.contracts.errors import UserError
from tasks.contracts.nearest import choose, nearest
from tasks.contracts.params.report import METRICS, RECALL, ReportParams
from tasks.contracts.params.retrain import RetrainParams
from tasks.contracts.params.train_gan import Evaluation

_TRANSFORMER = re.compile(r"vit_([blh])_(\d+)")  # torchvision's names
_WIDTHS = {"b": "base", "l": "large", "h": "huge"}  # in timm's names
_USUAL = ("resnet18", "convnext_atto")  # of the thousand names there are


@dataclass(frozen=True)
class Images:
    """What is known of the images once they are ingested.

    Attributes:
        class_names: in the order of the labels.
        size: width and height in pixels.
        channels: 1 or 3.
    """

    class_names: Sequence[str]
    size: int
    channels: int


def check_names(evaluation: Evaluation, retrain: RetrainParams) -> None:
    """See that classifier and files of weights exist; no image is needed for that.

    Raises:
        UserError: an unknown name (with the nearest there is), or no such file.
    """
    if retrain.classifier != SMALL_CNN:
        _see_known(retrain.classifier)
    if retrain.weights is not None and not Path(retrain.weights).is_file():
        raise UserError(
            f"retrain.weights: {retrain.weights}",
            "no such file",
            "Give the path of a .safetensors or .pth file, or null",
        )
    if evaluation.features == "inception":
        inception_judge()


def check_fit(retrain: RetrainParams, report: ReportParams, images: Images) -> None:
    """See that the classifier takes these images and its weights, and the metric these classes.

    Draws nothing from torch's global random state.

    Raises:
        UserError: a class that is not there, a classifier for other sizes, weights of another.
    """
    _see_class(report.primary_metric, images.class_names)
    if retrain.classifier == SMALL_CNN and retrain.weights is None:
        return
    classes = len(images.class_names)
    with torch.random.fork_rng():
        try:
            network = build_classifier(
                retrain.classifier,
                channels=images.channels,
                classes=classes,
                image_size=images.size,
            )
        except UserError as error:
            raise UserError(
                error.thing, error.reason, _for_size(retrain.classifier, images)
            ) from None
        if retrain.weights is not None:
            shape = (images.size, images.size, images.channels)
            path = Path(retrain.weights)
            load_weights(network, path, retrain.classifier, classes=classes, shape=shape)


def _see_known(name: str) -> None:
    import timm  # seconds, as torchvision: whoever keeps the small network does without
    from torchvision import models

    known = {*models.list_models(module=models), *timm.list_models(), SMALL_CNN}
    if name in known or timm.is_model(name):
        return
    near = nearest(name, sorted(known))
    raise UserError(
        f"retrain.classifier: {name}",
        "neither torchvision nor timm has a classifier of this name",
        f"The nearest is {near}" if near else f"Try {SMALL_CNN}, {', '.join(_USUAL)}",
    )


def _for_size(name: str, images: Images) -> str:
    """Return the way out for a network that cannot take the images' size.

    A transformer of torchvision has one size for good; timm builds its own for the images'.
    """
    other = ""
    if (match := _TRANSFORMER.fullmatch(name)) is not None:
        twin = f"vit_{_WIDTHS[match[1]]}_patch{match[2]}_224"
        with suppress(UserError):
            build_classifier(twin, channels=images.channels, classes=2, image_size=images.size)
            other = f"timm's {twin}, which is built for {images.size} px, or "
    return f"Use {other}a convolutional network such as {' or '.join(_USUAL)}"


def _see_class(metric: str, class_names: Sequence[str]) -> None:
    name = metric.removeprefix(RECALL)
    if metric not in METRICS and name not in class_names:
        raise UserError(
            f"report.primary_metric: {metric}",
            f"there is no class {name!r}",
            choose(metric, [f"{RECALL}{one}" for one in class_names]),
        )

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tasks.classifier.early import Images, check_fit, check_names
from tasks.classifier.networks import SMALL_CNN, build_classifier
from tasks.contracts.errors import UserError
from tasks.contracts.params.line import Params, parse_params
from tasks.contracts.params.retrain import BUILT_IN
from tests.contracts.tiny import tiny_values

IMAGES = Images(("cup", "fork"), 32, 3)


def _params(**changes: Any) -> Params:
    values = tiny_values()
    values["retrain"] |= changes
    return parse_params(values)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classifier": "ResNet18"}, "ResNet18: .*The nearest is resnet18"),
        ({"classifier": "qqqqq"}, "Try small_cnn, resnet18"),
        ({"weights": "no/such.pth"}, "no/such.pth: no such file"),
    ],
)
def test_a_name_that_is_not_there_is_told_without_an_image(
    changes: dict[str, Any], said: str
) -> None:
    params = _params(**changes)
    with pytest.raises(UserError, match=said):
        check_names(params.train_gan.evaluation, params.retrain)


def test_inception_needs_its_weights_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    values = tiny_values()
    values["train_gan"]["evaluation"]["features"] = "inception"
    params = parse_params(values)
    with pytest.raises(UserError, match=r"Inception.*not there.*in_domain"):
        check_names(params.train_gan.evaluation, params.retrain)


@pytest.mark.parametrize(
    ("metric", "said"), [("recall:frok", "nearest is recall:fork"), ("recall:zzz", "no class")]
)
def test_a_class_that_is_not_there_is_told_with_the_nearest(metric: str, said: str) -> None:
    values = tiny_values()
    values["report"]["primary_metric"] = metric
    params = parse_params(values)
    with pytest.raises(UserError, match=said):
        check_fit(params.retrain, params.report, IMAGES)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (32, "Use timm's vit_base_patch16_224, which is built for 32 px, or a convolutional"),
        (8, "Use a convolutional network such as resnet18"),  # a patch has 16 px
    ],
)
def test_a_transformer_of_one_size_has_a_true_way_out(size: int, said: str) -> None:
    params = _params(classifier="vit_b_16")
    with pytest.raises(UserError, match=said) as caught:
        check_fit(params.retrain, params.report, Images(IMAGES.class_names, size, 3))
    assert "image_size" not in caught.value.mend


def test_weights_of_another_network_are_told_and_fitting_ones_pass(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(build_classifier(SMALL_CNN, channels=3, classes=2, image_size=32).state_dict(), path)
    fitting, other = (
        _params(classifier=name, weights=str(path)) for name in (SMALL_CNN, "resnet18")
    )
    before = torch.random.get_rng_state()
    check_fit(fitting.retrain, fitting.report, IMAGES)
    with pytest.raises(UserError, match="does not fit resnet18"):
        check_fit(other.retrain, other.report, IMAGES)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_classifier_that_is_spared_the_check_is_the_small_one() -> None:
    assert BUILT_IN == SMALL_CNN

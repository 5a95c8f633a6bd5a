from __future__ import annotations

import copy
import typing
from typing import Any

import pytest

from tasks.contracts.errors import UserError
from tasks.contracts.params.line import parse_params
from tasks.contracts.params.train_gan import (
    Conditioning,
    Evaluation,
    Health,
    LossName,
    NetworkName,
    OptimizerName,
    Penalties,
    Policy,
    Privacy,
    Rule,
    ScheduleName,
    TrainGanParams,
)
from tests.contracts.tiny import tiny_values

NO_TERMS = dict.fromkeys(Penalties.model_fields, 0.0)
VAE = {
    "network": "vae",
    "loss": "elbo",
    "conditioning": "concat",
    "penalties": NO_TERMS,
    "diffaug": [],
}
CRITIC = {"loss": "wasserstein", "penalties": NO_TERMS}
PRIVATE = {
    "privacy.epsilon": 1.0,
    "loss": "nonsaturating",
    "penalties": {"mode_seeking": 0.1},
    "balanced": False,
    "evaluation.keep": "last",
}


def values(changes: dict[str, Any]) -> dict[str, Any]:
    """Tiny values with keys of train_gan changed; a dotted key reaches into a group."""
    found = copy.deepcopy(tiny_values())
    for path, value in changes.items():
        *groups, key = path.split(".")
        place = found["train_gan"]
        for group in groups:
            place = place[group]
        place[key] = copy.deepcopy(value)
    return found


def accepted(changes: dict[str, Any]) -> TrainGanParams:
    return parse_params(values(changes)).train_gan


def refused(changes: dict[str, Any]) -> UserError:
    with pytest.raises(UserError) as caught:
        parse_params(values(changes))
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.thing.startswith("params.yaml: train_gan")
    assert caught.value.mend
    return caught.value


@pytest.mark.parametrize(
    ("changes", "words", "mended"),
    [
        ({"total_minutes": 5}, "one of total_kimg and total_minutes", {"total_kimg": None}),
        ({"total_kimg": None}, "one of total_kimg and total_minutes", {"total_minutes": 0.5}),
        ({"processes": 2, "top_k": 0.5}, "top_k looks at a whole batch", {"processes": 1}),
        (
            {"penalties.feature_matching": 1.0, "unlabelled": "pseudo_label+unconditional"},
            "images without a label have none",
            {"unlabelled": "pseudo_label"},
        ),
        ({"penalty_share": 0.4}, "penalty_share 0.4 .* whole number", {"penalty_share": 0.5}),
        ({"penalty_share": 0.3333}, "divides the 8 images", {"batch_size": 12}),
        (
            {"penalty_share": 0.125, "processes": 2},
            "divides the 4 images",
            {"penalty_share": 0.25},
        ),
        ({"batch_size": 9}, "batch_size 9 is odd.*use 10", {"batch_size": 10}),
        ({"processes": 3}, "batch_size 8 .* pairs over 3 processes", {"batch_size": 12}),
        (
            {"processes": 2, "network": "dcgan", "penalties": NO_TERMS},
            "batch statistics of their own",
            {"processes": 1},
        ),
        (
            VAE | {"dropout": 0.1, "top_k": 0.5},
            "dropout, top_k would do nothing",
            VAE | {"dropout": 0, "top_k": 1},
        ),
        (
            {"network": "dcgan", "penalties": {"consistency": 1.0}},
            r"penalties\.consistency needs",
            {"penalties": NO_TERMS},
        ),
        ({"network": "vae"}, "network vae and loss elbo belong together", VAE),
        ({"loss": "elbo"}, "network vae and loss elbo belong together", VAE),
        (VAE | {"penalties": {"r1": 1.0}}, "no discriminator", {"penalties": NO_TERMS}),
        (VAE | {"conditioning": "projection"}, "concat", {"conditioning": "concat"}),
        (CRITIC, r"bounded critic, by one of weight_clip \(0.01\)", {"weight_clip": 0.01}),
        (CRITIC, "bounded critic", {"penalties.gradient_penalty": 10}),
        (
            CRITIC | {"weight_clip": 0.01, "penalties": {"gradient_penalty": 10}},
            "by one of weight_clip",
            {"weight_clip": None},
        ),
        ({"weight_clip": 0.01}, "loss relativistic has none", {"weight_clip": None}),
        ({"network": "dcgan"}, r"penalties\.r1 needs.*batch norm", {"penalties": NO_TERMS}),
        (
            {"network": "dcgan", "penalties": {"r2": 1.0}},
            r"penalties\.r2 needs.*network dcgan",
            {"network": "resnet"},
        ),
        (
            {"network": "dcgan", "loss": "hinge", "penalties": {"gradient_penalty": 1.0}},
            r"penalties\.gradient_penalty needs",
            {"penalties": {"lecam": 1.0}},
        ),
        (
            {"label_smoothing": 0.1},
            "label_smoothing is for cross-entropy.*relativistic has no labels",
            {"loss": "nonsaturating"},
        ),
        ({"ada_target": 0.6, "diffaug": []}, "diffaug is empty", {"diffaug": ["color"]}),
        (
            {"penalties.consistency": 1.0, "diffaug": []},
            r"penalties\.consistency.*is empty",
            {"diffaug": ["cutout"]},
        ),
        (
            {"optimizer": "rmsprop", "beta1": 0.5},
            "averages no gradients, so beta1 would do nothing",
            {"beta1": 0.0},
        ),
        (
            {"unlabelled": "pseudo_label+unconditional", "conditioning": "concat"},
            "unconditional head.*concat puts the label into the image",
            {"conditioning": "auxiliary"},
        ),
        (PRIVATE | {"network": "dcgan"}, "network dcgan .*batch norm", {"network": "resnet"}),
        (
            PRIVATE | {"network": "translator"},
            "network translator .*checkpoint holds them",
            {"network": "stylegan"},
        ),
        (PRIVATE | {"network": "progressive"}, "no gradient yet", {"network": "conv"}),
        (PRIVATE | {"spectral_norm": True}, "spectral_norm", {"spectral_norm": False}),
        (PRIVATE | {"loss": "relativistic"}, "compares images", {"loss": "hinge"}),
        *(
            (PRIVATE | {"penalties": {term: 1.0}}, rf"penalties\.{term} has to be 0", PRIVATE)
            for term in ("r1", "r2", "gradient_penalty", "lecam", "consistency")
        ),
        (
            PRIVATE | {"penalties": {"feature_matching": 1.0}},
            r"penalties\.feature_matching has to be 0",
            PRIVATE,
        ),
        (PRIVATE | {"balanced": True}, "balanced has to be false", {"balanced": False}),
        (PRIVATE | {"ada_target": 0.6}, "follows the logits", {"ada_target": None}),
        (
            PRIVATE | {"unlabelled": "pseudo_label"},
            "unlabelled has to be none",
            PRIVATE | {"unlabelled": "none"},
        ),
        (PRIVATE | {"evaluation.keep": "kid"}, "keep has to be last", PRIVATE),
        (
            PRIVATE | {"total_kimg": None, "total_minutes": 1.0},
            "the noise follows from the steps",
            {"total_kimg": 1.0, "total_minutes": None},
        ),
        (PRIVATE | {"processes": 2}, "processes has to be 1", {"processes": 1}),
        (PRIVATE | {"precision": "bfloat16"}, "float32 or auto", {"precision": "auto"}),
    ],
)
def test_a_wrong_combination_says_why_and_its_mend_is_accepted(
    changes: dict[str, Any], words: str, mended: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=words):
        parse_params(values(changes))
    refused(changes)
    accepted(changes | mended)


def test_counts_that_noise_hides_do_not_decide_how_many_images_are_made() -> None:
    noised = values(PRIVATE | {"privacy.class_counts": "noised"})
    parse_params(noised)
    noised["generate"]["per_class"] = "auto"
    with pytest.raises(
        UserError, match=r"generate\.per_class auto follows the number.*noised hides"
    ):
        parse_params(noised)
    noised["train_gan"]["privacy"]["class_counts"] = "public"
    parse_params(noised)


@pytest.mark.parametrize("loss", ["saturating", "nonsaturating"])
def test_both_cross_entropies_take_smoothing(loss: str) -> None:
    assert accepted({"loss": loss, "label_smoothing": 0.1}).label_smoothing == 0.1


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("network", NetworkName),
        ("conditioning", Conditioning),
        ("loss", LossName),
        ("optimizer", OptimizerName),
        ("rate_schedule", ScheduleName),
        ("gamma_schedule", ScheduleName),
        ("diffaug", Policy),
        ("evaluation.keep", Rule),
    ],
)
def test_a_name_that_is_none_is_told_all_that_are(key: str, names: Any) -> None:
    error = refused({key: ["blur"] if key == "diffaug" else "blur"})
    of = "out of" if key == "diffaug" else "one of"
    assert f"{of} {', '.join(typing.get_args(names))}" in error.reason
    assert "blur" in error.reason


def _paths(model: Any, prefix: str = "") -> list[str]:
    """Every key that holds a number with a fraction, dotted."""
    found = []
    for name, field in model.model_fields.items():
        if field.annotation in (Penalties, Privacy, Evaluation, Health):
            found += _paths(field.annotation, f"{name}.")
        elif "float" in str(field.annotation):
            found.append(prefix + name)
    return found


NUMBERS = _paths(TrainGanParams)


def test_the_numbers_are_found() -> None:
    assert {"learning_rate", "total_minutes", "penalties.lecam", "health.max_logit"} <= {*NUMBERS}


@pytest.mark.parametrize("path", NUMBERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.5, "much"])
def test_no_number_may_be_nan_endless_negative_or_a_word(path: str, value: Any) -> None:
    assert refused({path: value}).thing.startswith(f"params.yaml: train_gan.{path}")


@pytest.mark.parametrize(
    "path",
    [
        *("total_kimg", "total_minutes", "learning_rate", "discriminator_rate", "weight_clip"),
        *("ema_halflife_kimg", "tick_kimg", "grid_kimg", "state_kimg", "top_k", "ada_target"),
        *("evaluation.every_kimg", "health.max_logit", "health.max_gradient"),
    ],
)
def test_nothing_is_no_budget_rate_or_interval(path: str) -> None:
    error = refused({path: 0})
    assert "a number above 0" in error.reason


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("beta1", 1.0, "below 1"),
        ("beta2", 1.0, "below 1"),
        ("dropout", 1.0, "below 1"),
        ("label_smoothing", 0.5, "below 0.5"),
        ("top_k", 1.1, "of at most 1"),
        ("ada_target", 1.0, "below 1"),
        ("width", 3, "of at least 4"),
        ("batch_size", 2, "of at least 4"),
        ("processes", 0, "of at least 1"),
        ("discriminator_steps", 0, "of at least 1"),
        ("penalty_share", 0, "above 0"),
        ("penalty_share", 1.5, "of at most 1"),
        ("slope", "guessed", "one of exact, sampled"),
        ("health.max_rollbacks", -1, "of at least 0"),
        ("health.collapse_below", 1.5, "from 0 to 1"),
        ("health.collapse_patience", 0, "of at least 1"),
        ("evaluation.features", "imagenet", "one of in_domain, inception"),
        ("unlabelled", "drop", "pseudo_label,"),
        ("device", "tpu", "one of auto, cpu, cuda"),
        ("penalties", None, "a section of its own keys"),
    ],
)
def test_a_value_beyond_its_range_is_refused(path: str, value: Any, words: str) -> None:
    error = refused({path: value})
    assert error.thing == f"params.yaml: train_gan.{path}"
    assert words in error.reason


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("penalties.r_1", "penalties.r1"),
        ("penalties.mode_seek", "penalties.mode_seeking"),
        ("penalties.lecamp", "penalties.lecam"),
        ("evaluation.every", "evaluation.every_kimg"),
        ("health.max_logits", "health.max_logit"),
        ("total_kimgs", "total_kimg"),
        ("conditionning", "conditioning"),
    ],
)
def test_an_unknown_key_of_a_group_names_the_nearest_of_that_group(path: str, nearest: str) -> None:
    error = refused({path: 1})
    assert error.thing == f"params.yaml: train_gan.{path}"
    assert error.mend == f"The nearest valid key is train_gan.{nearest}"


def test_a_penalty_that_is_not_named_is_left_out() -> None:
    assert accepted({"penalties": {}}).penalties == Penalties(**NO_TERMS)

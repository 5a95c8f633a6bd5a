"""A GAN that learns related classes as classes beside: no image is made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.gan.checkpoint import (
    check_checkpoint,
    checkpoint_hash,
    load_config,
    load_generator,
    save_checkpoint,
)
from tasks.gan.draws import RealBatches, with_related
from tasks.gan.model import build_gan
from tasks.gan.pool import make_pool
from tasks.gan.state import StateFolder
from tasks.gan.training import train_gan
from tests.contracts.tiny import SHAPES, shape_set, tiny_params
from tests.data.fake_sets import related
from tests.fake_train_gan import Told, run

OTHERS = tuple(f"related {name}" for name in SHAPES)


def beside(per_class: int, seed: int) -> ImageSet:
    return related(shape_set(per_class, seed=seed))


def settings(**overrides: object):
    return tiny_params(train_gan={"tick_kimg": 0.1, "grid_kimg": 99.0} | overrides).train_gan


def test_classes_are_counted_on_and_images_stay_their_own() -> None:
    train, others = shape_set(2), beside(3, seed=1)
    both = with_related(train, others)
    assert both.class_names == (*SHAPES, *OTHERS)
    assert both.labels.tolist() == [*train.labels, *(others.labels + len(SHAPES))]
    assert both.manifest["image_id"].tolist() == [
        *train.manifest["image_id"], *others.manifest["image_id"]
    ]  # fmt: skip


@pytest.mark.parametrize("balanced", [True, False])
def test_half_of_what_is_shown_is_of_the_classes_asked_about(balanced: bool) -> None:
    batches = RealBatches(
        with_related(shape_set(2), beside(60, seed=1)),
        None,
        batch_size=64,
        balanced=balanced,
        asked=len(SHAPES),
        seed=0,
        device=torch.device("cpu"),
    )
    own = np.mean([(batches.batch()[1] < len(SHAPES)).float().mean() for _ in range(100)])
    assert own == pytest.approx(0.5, abs=0.03)


def test_the_pool_holds_the_classes_asked_about_alone(tmp_path: Path) -> None:
    train, others, own = shape_set(2), beside(2, seed=1), settings()
    gan = build_gan(train, own, 0, related=others)
    save_checkpoint(tmp_path / "gan", gan, SHAPES, own, 0, related_names=others.class_names)
    check_checkpoint(tmp_path / "gan", train)
    counts = dict.fromkeys(range(len(SHAPES)), 4)
    make_pool({0: tmp_path / "gan"}, counts, 0, tmp_path / "pool", lambda share, text: None)
    assert ImageSet.load(tmp_path / "pool").class_names == SHAPES
    generator = load_generator(tmp_path / "gan")
    every = torch.arange(2 * len(SHAPES))
    assert generator(torch.randn(len(every), own.latent_dim), every).isfinite().all()


def test_a_checkpoint_of_before_is_read_and_a_wrong_count_of_classes_is_damage(
    tmp_path: Path,
) -> None:
    own = settings()
    save_checkpoint(tmp_path, build_gan(shape_set(2), own, 0), SHAPES, own, 0)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text())
    assert config.pop("related_names") == []
    file.write_text(json.dumps(config))
    assert load_config(tmp_path)["class_names"] == list(SHAPES)
    file.write_text(json.dumps(config | {"related_names": ["fox"]}))
    with pytest.raises(UserError, match="damaged: 4 class names, a network of 3"):
        load_config(tmp_path)


@pytest.fixture
def trained() -> Callable[..., list[bytes]]:
    train, others = shape_set(3), beside(4, seed=1)
    own = settings(total_kimg=0.4, state_kimg=0.1)

    def trained(states: Path, stop_after: int = 99) -> list[bytes]:
        gan = build_gan(train, own, 0, related=others)
        news = train_gan(gan, train, own, 0, related=others, states=StateFolder(states))
        for _ in zip(range(stop_after), news, strict=False):
            pass
        return [t.numpy().tobytes() for t in gan.ema.state_dict().values()]

    return trained


@pytest.mark.parametrize("cut", [1, 2])
def test_a_run_that_was_cut_off_ends_with_the_bytes_of_one_that_was_not(
    cut: int, tmp_path: Path, trained: Callable[..., list[bytes]]
) -> None:
    whole = trained(tmp_path / "whole")
    trained(tmp_path / "cut", stop_after=cut)
    torch.rand(7)  # another process has another global state
    assert trained(tmp_path / "cut") == whole


def test_related_classes_are_learned_beside_and_no_image_is_made_of_them(told: Told) -> None:
    plain = run("plain", seeds=[0])
    beside(5, seed=3).save(Path("related"))
    joint = run("joint", seeds=[0])
    config = load_config(joint / "gan/0")
    assert config["class_names"] == list(SHAPES)
    assert config["related_names"] == [f"related {name}" for name in SHAPES]
    assert config["network"]["classes"] == 2 * len(SHAPES)
    check_checkpoint(joint / "gan/0", ImageSet.load(Path("train")))
    assert checkpoint_hash(joint / "gan/0") != checkpoint_hash(plain / "gan/0")
    alone = run("alone", seeds=[0], related="none")
    weights = "gan/0/generator.safetensors"
    assert (alone / weights).read_bytes() == (plain / weights).read_bytes()
    private = {
        "privacy": {"epsilon": 8.0, "delta": 1e-3},
        "loss": "nonsaturating",
        "evaluation": {"every_kimg": 0.032, "features": "in_domain", "keep": "last"},
    }
    for own, name in (
        ({"network": "translator"}, "network: translator"),
        (private, r"privacy\.epsilon"),
    ):
        with pytest.raises(UserError, match=rf"{name}.*3 related classes.*\n?.*related=none"):
            run("never", **own, penalties={}, diffaug=[], balanced=False)

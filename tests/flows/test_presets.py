from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from bench.contestants import TECHNIQUES, contestant, settings
from flows.edit_params import edit_params, edited
from flows.presets import TABLE, preset_settings
from tasks.contracts.errors import UserError
from tasks.contracts.params.line import parse_params
from tasks.contracts.params.sections import Section
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.model import build_gan
from tasks.gan.state import GanOutcome, Tick
from tasks.gan.training import train_gan
from tests.contracts.tiny import shape_set

TEXT = (Path(__file__).parents[2] / "params.yaml").read_text(encoding="utf-8")
NAMES = tuple(yaml.safe_load(TABLE.read_text(encoding="utf-8"))["presets"])
# What depends on the data, the machine or how closely one looks, and is no recipe.
LEFT = {
    *("seeds", "unlabelled", "related", "health", "device", "precision", "processes"),
    *("tick_kimg", "grid_kimg", "state_kimg", "evaluation.every_kimg", "evaluation.features"),
}


def recipe(text: str) -> TrainGanParams:
    return parse_params(yaml.safe_load(text)).train_gan


def keys(section: type[Section], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, field in section.model_fields.items():
        below: Any = field.annotation
        nested = isinstance(below, type) and issubclass(below, Section)
        if f"{prefix}{name}" not in LEFT:
            found |= keys(below, f"{prefix}{name}.") if nested else {f"{prefix}{name}"}
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_valid_and_says_the_whole_recipe(name: str) -> None:
    settings = preset_settings(name)
    parse_params(yaml.safe_load(edited(TEXT, settings)))
    named = {setting.partition("=")[0] for setting in settings}
    beside = {
        "rare": {"merge.target_per_class"},
        "unlabelled": {"train_gan.unlabelled"},
        "related": {"train_gan.related"},
    }
    assert named == {f"train_gan.{key}" for key in keys(TrainGanParams)} | beside.get(name, set())


@pytest.mark.parametrize("name", NAMES)
def test_what_was_there_before_does_not_matter(name: str) -> None:
    alone = recipe(edited(TEXT, preset_settings(name)))
    for before in texts_before():
        assert recipe(edited(before, preset_settings(name))) == alone


@cache
def texts_before() -> tuple[str, ...]:
    timed = ["train_gan.total_kimg=null", "train_gan.total_minutes=3"]
    return tuple(
        edited(TEXT, before) for before in (timed, preset_settings("plain"), preset_settings("vae"))
    )


CLASSICS = {
    # loss, and what holds the discriminator or the generator
    "dcgan": ("nonsaturating", "penalties.feature_matching"),
    "wgan": ("wasserstein", "weight_clip"),
    "wgan_gp": ("wasserstein", "penalties.gradient_penalty"),
    "sn_hinge": ("hinge", "spectral_norm"),
    "progressive": ("wasserstein", "penalties.gradient_penalty"),
    "stylegan": ("nonsaturating", "penalties.r1"),
}


DATA = {"unlabelled", "related"}  # which differ in what GANs see, not in how they are trained


def test_the_presets_are_these_and_differ() -> None:
    others = {"plain", "few", "fast", "balanced", "best", "rare", "translator", "private", "vae"}
    assert set(NAMES) == others | DATA | set(CLASSICS)
    every = [edited(TEXT, preset_settings(name)) for name in NAMES]
    assert len(set(every)) == len(NAMES)
    found = [recipe(text) for name, text in zip(NAMES, every, strict=True) if name not in DATA]
    assert all(a != b for k, a in enumerate(found) for b in found[:k])
    plain = recipe(every[NAMES.index("plain")])
    assert (plain.network, plain.loss, plain.beta1) == ("dcgan", "nonsaturating", 0.5)
    assert not any(plain.penalties.model_dump().values())
    assert plain.diffaug == ()


@pytest.mark.parametrize("name", CLASSICS)
def test_a_classic_plays_its_own_game_and_none_of_the_default(name: str) -> None:
    found = recipe(edited(TEXT, preset_settings(name)))
    loss, held_by = CLASSICS[name]
    assert found.loss == loss
    assert bool(found.diffaug) == (found.ada_target is not None) == (name == "stylegan")
    restraints = {
        "weight_clip": found.weight_clip,
        "spectral_norm": found.spectral_norm,
        **{f"penalties.{term}": weight for term, weight in found.penalties.model_dump().items()},
    }
    assert [key for key, value in restraints.items() if value] == [held_by]


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("name", NAMES)
def test_a_preset_takes_steps_at_small_sizes(name: str, size: int) -> None:
    """At 8 px `dcgan` has no batch norm in its discriminator, at 16 it has."""
    small = {"width": 4, "batch_size": 8, "device": "cpu", "total_kimg": 0.016, "grid_kimg": 9}
    settings = recipe(edited(TEXT, preset_settings(name))).model_copy(update=small)
    images = shape_set(4, size=size)
    others = shape_set(3, size=size, seed=1) if settings.network == "translator" else None
    gan = build_gan(images, settings, 0, others)
    before = [p.detach().clone() for p in gan.generator.parameters()]
    secret = (b"secret", "GAN") if settings.private else None
    *ticks, outcome = train_gan(gan, images, settings, 0, other_domain=others, secret=secret)
    assert isinstance(outcome, GanOutcome)
    assert all(isinstance(t, Tick) and math.isfinite(sum(t.curves.values())) for t in ticks)
    after = gan.generator.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_default_of_the_params_is_the_balanced_recipe() -> None:
    assert recipe(edited(TEXT, preset_settings("balanced"))) == recipe(TEXT)


def test_a_technique_of_the_bench_that_is_a_preset_is_that_preset() -> None:
    for technique, preset in (("vae", "vae"), ("r1 and r2 at 0.3", "few")):
        found, wanted = (
            settings(recipe(TEXT), own, kimg=1)
            for own in (TECHNIQUES[technique], contestant(preset))
        )
        assert found == wanted


def test_a_setting_after_a_preset_wins_and_a_wrong_one_leaves_all_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(TEXT, encoding="utf-8")
    with pytest.raises(UserError, match=r"penalties\.r1 needs"):
        edit_params(file, [*preset_settings("plain"), "train_gan.penalties.r1=1"])
    assert file.read_text(encoding="utf-8") == TEXT
    edit_params(file, [*preset_settings("best"), "train_gan.total_kimg=7"])
    after = file.read_text(encoding="utf-8")
    assert recipe(after).total_kimg == 7
    assert recipe(after).seeds == recipe(TEXT).seeds
    outside = [line for line in after.splitlines() if line.startswith(("#", "ingest", "report"))]
    assert outside == [
        line for line in TEXT.splitlines() if line.startswith(("#", "ingest", "report"))
    ]
    assert len(after.splitlines()) == len(TEXT.splitlines())


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"--preset fats: .*plain, few, fast.* The nearest is fast"):
        preset_settings("fats")

"""A generator that turns images of another domain into such of this one."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.checkpoint import (
    checkpoint_hash,
    load_contents,
    load_generator,
    save_checkpoint,
)
from tasks.gan.draws import RealBatches, in_two_domains
from tasks.gan.model import build_gan, check_training_set
from tasks.gan.networks.translator import Contents, TranslatorGenerator
from tasks.gan.penalties import GENERATOR_TERMS, GeneratorContext
from tasks.gan.pool import make_pool
from tasks.gan.sampling import sample
from tasks.gan.state import StateFolder
from tasks.gan.training import train_gan
from tests.contracts.tiny import SHAPES, shape_set, tiny_params
from tests.gan.tiny_networks import grown_pair, noise_of, tiny_spec

SPEC = tiny_spec("translator")


def params(**changes: object) -> TrainGanParams:
    own = {"network": "translator", "penalties": {"r1": 0.1, "r2": 0.1, "reconstruction": 2.0}}
    return tiny_params(train_gan=own | changes).train_gan


def negatives(per_class: int, seed: int) -> ImageSet:
    shown = shape_set(per_class, seed=seed)
    return dataclasses.replace(shown, images=255 - shown.images)


def likeness(one: Tensor, other: Tensor) -> float:
    """Mean correlation of images with their likes."""
    pairs = zip(one, other, strict=True)
    return float(np.mean([np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in pairs]))


def test_a_latent_names_an_image_of_its_label_and_each_is_equally_likely() -> None:
    images = noise_of(SPEC, each=5).take(np.random.default_rng(0).permutation(15))
    contents = Contents.of(images, noise_of(SPEC, each=2, seed=1))
    latents, labels = torch.randn(6000, 5), torch.arange(6000) % 6
    rows = contents.rows_of(latents, labels)
    both = in_two_domains(images, noise_of(SPEC, each=2, seed=1)).labels
    assert np.array_equal(both[rows], labels)
    counts = np.bincount(rows, minlength=21)
    assert all(150 < count < 250 for count in counts[:15])
    assert all(420 < count < 580 for count in counts[15:])
    extreme = torch.tensor([[-40.0], [40.0], [float("-inf")], [float("inf")]])
    assert set(contents.rows_of(extreme, torch.zeros(4, dtype=torch.long)).tolist()) <= set(
        np.flatnonzero(images.labels == 0)
    )


def test_a_generator_that_overshot_has_a_gradient_and_makes_no_odd_pixels() -> None:
    """A tanh that far out has none: such a GAN was dead after 400 updates (docs/log.md)."""
    generator, _ = grown_pair(SPEC)
    generator.contents = Contents.of(noise_of(SPEC, each=2))
    with torch.no_grad():
        generator.to_image.bias.fill_(-50.0)
    generator(torch.randn(6, 5), torch.arange(6) % 3).square().mean().backward()
    assert float(generator.to_image.weight.grad.norm()) > 0.01
    assert not sample(generator.eval(), np.arange(3), np.arange(3)).any()  # black, not wrapped


def test_what_is_turned_does_not_depend_on_the_images_that_are_turned_back() -> None:
    others = noise_of(SPEC, each=3)
    latents, labels = torch.randn(50, 5), torch.arange(50) % 3
    alone, both = Contents.of(others), Contents.of(others, noise_of(SPEC, seed=2))
    assert torch.equal(alone.rows_of(latents, labels), both.rows_of(latents, labels))


def test_unlabelled_images_are_met_by_fakes_of_their_own_domain() -> None:
    train, others, loose = (noise_of(SPEC, each=4, seed=seed) for seed in range(3))
    batches = RealBatches(
        in_two_domains(train, others), loose, batch_size=30, balanced=True, seed=0,
        device=torch.device("cpu"), domain=3,
    )  # fmt: skip
    for _ in range(20):
        images, labels = batches.batch()
        known = batches.known(labels)
        assert 0 < int((known < 0).sum()) == batches.loose_rows < 30
        assert labels[known < 0].max() < 3 <= labels[known >= 0].max()
        shown = ((images[known < 0] + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        assert {one.tobytes() for one in shown} <= {one.tobytes() for one in loose.images}


def test_reconstruction_is_the_loop_over_images() -> None:
    generator, _ = grown_pair(SPEC)
    assert isinstance(generator, TranslatorGenerator)
    generator.contents = Contents.of(noise_of(SPEC), noise_of(SPEC, seed=1))
    latents, labels = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 4, 5])
    fake = generator(latents, labels)
    features = torch.zeros(6, 2)
    context = GeneratorContext(fake, latents, labels, features, features, generator)
    expected = []
    for row in range(6):
        one = slice(row, row + 1)
        start = generator.contents.images[generator.contents.rows_of(latents[one], labels[one])]
        start = start.float() / 127.5 - 1
        there = generator.turn(start, latents[one], labels[one])
        home = labels[one] + 3 if row < 3 else labels[one] - 3
        expected.append((generator.turn(there, latents[one], home) - start).abs().mean())
    torch.testing.assert_close(GENERATOR_TERMS["reconstruction"](context), torch.stack(expected))


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_mode_seeking_compares_two_looks_of_one_content(
    weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two contents it would reward a change of what the image shows."""
    seen: list[tuple[Tensor, Tensor, list[int]]] = []
    content = TranslatorGenerator.content

    def watched(self: TranslatorGenerator, latents: Tensor, labels: Tensor) -> Tensor:
        assert self.contents is not None
        seen.append((latents, labels, self.contents.rows_of(latents, labels).tolist()))
        return content(self, latents, labels)

    monkeypatch.setattr(TranslatorGenerator, "content", watched)
    train, others = negatives(6, seed=0), shape_set(30, seed=1)
    settings = params(
        total_kimg=0.096, batch_size=32, tick_kimg=1, grid_kimg=99,
        penalties={"mode_seeking": weight},
    )  # fmt: skip
    gan = build_gan(train, settings, 0, others)
    list(train_gan(gan, train, settings, 0, other_domain=others))
    in_training = [one for one in seen if len(one[0]) == 32]
    assert len(in_training) >= 3
    for latents, labels, rows in in_training:
        assert (latents[::2, 1:] != latents[1::2, 1:]).all()
        assert (rows[::2] == rows[1::2]) is bool(weight)
        assert len(set(rows)) > 8
        if weight:
            assert torch.equal(labels[::2], labels[1::2])


def test_it_learns_the_other_domain_and_keeps_what_an_image_shows() -> None:
    """White shapes on black become black ones on white, of the same place and size."""
    train, others = negatives(4, seed=0), shape_set(30, seed=1)
    settings = params(
        total_kimg=12, width=8, batch_size=32, learning_rate=0.004, tick_kimg=12, grid_kimg=99,
        diffaug=[], ema_halflife_kimg=1,
    )  # fmt: skip
    gan = build_gan(train, settings, 0, others)
    list(train_gan(gan, train, settings, 0, other_domain=others))
    assert isinstance(gan.ema, TranslatorGenerator)
    latents, labels = torch.randn(90, settings.latent_dim), torch.arange(90) % 3
    with torch.no_grad():
        made, shown = gan.ema(latents, labels), gan.ema.content(latents, labels)
    assert float(shown.mean()) < -0.3
    assert float(made.mean()) > 0.3
    own, another = (likeness(made, -one) for one in (shown, shown.roll(3, dims=0)))
    assert own > max(0.7, another + 0.15)  # rolled by three, it is one of the same class


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained checkpoint of a translator."""
    folder = tmp_path_factory.mktemp("gan") / "0"
    settings, others = params(), shape_set(5, seed=1)
    gan = build_gan(shape_set(2), settings, 0, others)
    save_checkpoint(folder, gan, SHAPES, settings, 0, others)
    return folder


def test_every_image_of_a_pool_names_the_one_that_it_was_made_of(
    folder: Path, tmp_path: Path
) -> None:
    make_pool({0: folder}, {0: 4, 1: 3, 2: 5}, 0, tmp_path, lambda share, text: None)
    pool, others = ImageSet.load(tmp_path), shape_set(5, seed=1).manifest.set_index("image_id")
    assert others["label"].loc[pool.manifest["content"]].tolist() == pool.labels.tolist()
    generator = load_generator(folder)
    again = sample(generator, pool.labels, pool.manifest["latent_seed"].to_numpy())
    np.testing.assert_array_equal(again, pool.images)


def test_other_images_to_turn_make_another_checkpoint(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "gan"
    shutil.copytree(folder, copied)
    assert checkpoint_hash(copied) == checkpoint_hash(folder)
    shutil.rmtree(copied / "contents")
    shape_set(5, seed=2).save(copied / "contents")
    assert checkpoint_hash(copied) != checkpoint_hash(folder)
    shutil.rmtree(copied / "contents")
    with pytest.raises(UserError, match=r"contents: images\.npy is missing"):
        load_contents(copied)


@pytest.mark.parametrize("cut", [1, 2])
def test_a_run_that_was_cut_off_ends_with_the_bytes_of_one_that_was_not(
    cut: int, tmp_path: Path
) -> None:
    def trained(states: Path, stop_after: int = 99) -> list[bytes]:
        gan = build_gan(shape_set(3), settings, 0, others)
        news = train_gan(
            gan, shape_set(3), settings, 0, other_domain=others, states=StateFolder(states)
        )
        for _ in zip(range(stop_after), news, strict=False):
            pass
        return [t.numpy().tobytes() for t in gan.ema.state_dict().values()]

    settings, others = params(total_kimg=0.4, tick_kimg=0.1, state_kimg=0.1), shape_set(4, seed=1)
    whole = trained(tmp_path / "whole")
    trained(tmp_path / "cut", stop_after=cut)
    torch.rand(7)  # another process has another global state
    assert trained(tmp_path / "cut") == whole


def test_a_class_without_an_image_of_the_other_domain_is_named() -> None:
    train, others = shape_set(2), shape_set(2, seed=1)
    check_training_set(train, params(), others)
    with pytest.raises(UserError, match=r"class 'square' has none.*\n?.*other_domain/square/"):
        check_training_set(train, params(), others.take(others.labels != 1))
    with pytest.raises(UserError, match="class 'circle' has none"):
        check_training_set(train, params(), None)
    check_training_set(train, tiny_params().train_gan, None)


def test_reconstruction_is_refused_where_nothing_is_turned() -> None:
    with pytest.raises(UserError, match="network conv turns none; set it to 0"):
        tiny_params(train_gan={"network": "conv", "penalties": {"reconstruction": 1.0}})

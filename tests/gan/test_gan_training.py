from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params import TrainGanParams
from tasks.gan.feasibility import check_training_set
from tasks.gan.sampling import sample, sample_grid
from tasks.gan.training import Gan, Tick, build_gan, train_gan
from tests.contracts.tiny import shape_set, tiny_params
from tests.data.fake_sets import image_set


def params(**overrides: object) -> TrainGanParams:
    return tiny_params(train_gan=overrides).train_gan


def trained(train: ImageSet, seed: int = 0, **overrides: object) -> tuple[Gan, list[Tick]]:
    gan = build_gan(train, params(**overrides), seed)
    return gan, list(train_gan(gan, train, params(**overrides), seed))


def weights(gan: Gan) -> dict[str, bytes]:
    networks = {"g": gan.generator, "d": gan.discriminator, "ema": gan.ema}
    return {
        f"{side}.{name}": tensor.numpy().tobytes()
        for side, network in networks.items()
        for name, tensor in network.state_dict().items()
    }


@pytest.mark.parametrize("loss", ["relativistic", "nonsaturating"])
def test_the_same_seed_gives_the_same_bytes(loss: str) -> None:
    train = shape_set(4)
    (one, ticks), (two, ticks_again) = (trained(train, loss=loss) for _ in range(2))
    assert weights(one) == weights(two)
    assert [tick.curves for tick in ticks] == [tick.curves for tick in ticks_again]
    other, _ = trained(train, seed=1, loss=loss)
    differing = [name for name, value in weights(other).items() if value != weights(one)[name]]
    assert len(differing) == len(weights(one))


def test_torchs_global_state_has_no_say() -> None:
    train = shape_set(4)
    gan, _ = trained(train)
    other = build_gan(train, params(), 0)
    torch.manual_seed(12345)
    np.random.seed(3)
    list(train_gan(other, train, params(), 0))
    assert weights(gan) == weights(other)


@pytest.mark.parametrize(
    ("total", "tick", "grid"),
    [
        (0.064, 0.016, 0.032),
        (0.064, 1.0, 1.0),
        (0.061, 0.02, 0.04),
        (0.1, 0.001, 0.03),
        (0.001, 1, 1),
    ],
)
def test_ticks_cover_the_whole_exactly_once(total: float, tick: float, grid: float) -> None:
    _, ticks = trained(shape_set(4), total_kimg=total, tick_kimg=tick, grid_kimg=grid)
    steps = max(1, round(total * 1000 / 8))
    shown = [round(one.kimg * 1000) for one in ticks]
    assert shown[-1] == steps * 8
    spans = np.diff([0, *shown])
    assert (spans > 0).all()
    assert spans.max() <= max(8, 1000 * tick + 8)
    expected = min(steps, int(steps * 0.008 / tick + 1e-9) + 1)
    assert abs(len(ticks) - expected) <= 1
    assert ticks[-1].grid is not None
    grids = sum(one.grid is not None for one in ticks)
    assert grids <= int(steps * 0.008 / grid + 1e-9) + 1


def test_a_tick_tells_all_curves_and_the_last_grid_is_the_averages() -> None:
    gan, ticks = trained(shape_set(4))
    for tick in ticks:
        assert set(tick.curves) == {
            "loss_g",
            "loss_d",
            "logit_real",
            "logit_fake",
            "grad_norm_g",
            "grad_norm_d",
        }
        assert np.isfinite(list(tick.curves.values())).all()
        assert tick.curves["grad_norm_g"] > 0
        assert tick.curves["grad_norm_d"] > 0
        assert tick.images_per_second > 0
    np.testing.assert_array_equal(ticks[-1].grid, sample_grid(gan.ema, 3))


def test_curves_are_means_over_a_ticks_steps() -> None:
    train = shape_set(4)
    _, fine = trained(train, tick_kimg=0.008)
    _, coarse = trained(train, tick_kimg=0.064)
    assert len(fine) == 8
    assert len(coarse) == 1
    for name, value in coarse[0].curves.items():
        assert value == pytest.approx(np.mean([tick.curves[name] for tick in fine]), rel=1e-4)


def test_two_plain_classes_are_learned_under_their_labels() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [30, 10])  # unbalanced: classes are drawn alike all the same
    ground = np.array([60, 200])[labels][:, None, None, None]
    images = (ground + rng.integers(-10, 11, (40, 8, 8, 1))).astype(np.uint8)
    train = image_set(images, labels, ["dark", "light"])
    settings = {"width": 8, "total_kimg": 4.8, "batch_size": 32, "learning_rate": 0.004}

    def class_means(generator: nn.Module) -> list[float]:
        seeds = np.arange(32)
        return [sample(generator, np.full(32, label), seeds).mean() for label in (0, 1)]

    before = class_means(build_gan(train, params(**settings), 0).ema)
    assert abs(before[1] - before[0]) < 30
    gan, _ = trained(train, **settings, tick_kimg=1)
    assert class_means(gan.ema) == pytest.approx([60, 200], abs=25)


def test_divergence_is_said_in_one_line() -> None:
    train = shape_set(4)
    gan = build_gan(train, params(), 0)
    with torch.no_grad():
        gan.discriminator.logit.bias.fill_(float("nan"))
    with pytest.raises(UserError, match=r"diverged within 0\.016 kimg"):
        list(train_gan(gan, train, params(), 0))


def test_no_diffaug_and_no_penalty_work_too() -> None:
    bare = {"diffaug": [], "r1_gamma": 0, "r2_gamma": 0, "mode_seeking": 0}
    plain, _ = trained(shape_set(4), **bare)
    for key in bare:
        other, _ = trained(shape_set(4), **{name: v for name, v in bare.items() if name != key})
        assert weights(other) != weights(plain), key


def test_the_average_trails_the_generator() -> None:
    gan, _ = trained(shape_set(4))
    assert not any(parameter.requires_grad for parameter in gan.ema.parameters())
    distances = [
        float((kept - now).detach().abs().max())
        for kept, now in zip(gan.ema.parameters(), gan.generator.parameters(), strict=True)
    ]
    assert 0 < max(distances) < 0.1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"network": "transformer"}, r"network: transformer: unknown\. Known: conv"),
        ({"loss": "hinge"}, r"loss: hinge: unknown\. Known: nonsaturating, relativistic"),
        ({"batch_size": 7}, r"batch_size: 7.*must be even\. Use 8"),
        ({"diffaug": ["color"]}, r"diffaug: `color` is for colour images"),
    ],
)
def test_what_cannot_be_trained_is_refused(overrides: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_training_set(shape_set(2), params(**overrides))


def test_what_can_be_trained_is_not() -> None:
    check_training_set(shape_set(2), params())
    check_training_set(shape_set(2, channels=3), params(diffaug=["color"]))


def test_ticks_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Tick(0.0, {}, 0.0, None).kimg = 1.0  # type: ignore[misc]

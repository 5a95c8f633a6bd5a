from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.train_gan import TrainGanParams
from tasks.gan.model import Gan, build_gan
from tasks.gan.pictures import sample_grid
from tasks.gan.sampling import sample
from tasks.gan.state import GanOutcome, Tick
from tasks.gan.training import train_gan
from tests.contracts.tiny import SHAPES, shape_set, tiny_params
from tests.data.fake_sets import image_set


def params(**overrides: object) -> TrainGanParams:
    return tiny_params(train_gan=overrides).train_gan


def trained(train: ImageSet, seed: int = 0, **overrides: object) -> tuple[Gan, list[Tick]]:
    gan = build_gan(train, params(**overrides), seed)
    *ticks, outcome = train_gan(gan, train, params(**overrides), seed)
    assert isinstance(outcome, GanOutcome)
    return gan, [tick for tick in ticks if isinstance(tick, Tick)]


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
    assert ticks[-1].grid == sample_grid(gan.ema, SHAPES).png()


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


def test_no_diffaug_and_no_penalty_work_too() -> None:
    bare = {"diffaug": [], "penalties": {}}
    plain, _ = trained(shape_set(4), **bare)
    for name in ("r1", "r2", "mode_seeking", "lecam", "feature_matching", "gradient_penalty"):
        other, _ = trained(shape_set(4), **bare | {"penalties": {name: 1.0}})
        assert weights(other) != weights(plain), name
    augmented, _ = trained(shape_set(4), penalties={})
    assert weights(augmented) != weights(plain)


@pytest.mark.parametrize("updates", [1, 3])
def test_each_update_of_the_discriminator_has_new_fakes_and_the_generator_the_last(
    updates: int,
) -> None:
    """Fakes are dear: made once, they serve both sides."""
    made: list[torch.Tensor] = []
    settings = params(discriminator_steps=updates, total_kimg=0.016, tick_kimg=0.016)
    gan = build_gan(shape_set(4), settings, 0)
    gan.generator.register_forward_hook(lambda _, inputs, images: made.append(images))
    list(train_gan(gan, shape_set(4), settings, 0))
    assert len(made) == 2 * updates  # of two steps
    assert len({images.detach().numpy().tobytes() for images in made}) == len(made)


def test_a_share_of_the_batch_weighs_as_much_as_all_of_it() -> None:
    """Over many updates of a discriminator that hardly moves, its mean is the same."""

    def loss(**more: object) -> float:
        still = {"total_kimg": 1.6, "learning_rate": 1e-9, "rate_schedule": "constant"}
        return trained(shape_set(4), **still, tick_kimg=1.6, **more)[1][0].curves["loss_d"]

    heavy = {"penalties": {"r1": 1000.0, "r2": 500.0}}
    without = loss(penalties={})
    whole = loss(**heavy) - without
    assert whole > 10
    for slope in ("exact", "sampled"):
        part = loss(**heavy, penalty_share=0.25, slope=slope) - without
        assert part == pytest.approx(whole, rel=0.2), slope


@pytest.mark.parametrize("change", [{"dropout": 0.3}, {"precision": "bfloat16"}], ids=str)
def test_sampled_slopes_are_those_without_dropout_in_float32(change: dict[str, object]) -> None:
    """A difference of two logits that chance or eight bits decide would be huge beside a slope."""
    still = {"total_kimg": 0.8, "tick_kimg": 0.8, "learning_rate": 1e-9}
    heavy = {**still, "penalties": {"r1": 1000.0, "r2": 1000.0}}
    exact, sampled = (
        trained(shape_set(4), **heavy, **one)[1][0].curves["loss_d"]
        for one in ({"slope": "exact"}, {"slope": "sampled", **change})
    )
    assert sampled == pytest.approx(exact, rel=0.25)


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "hinge"},
        {"loss": "saturating", "label_smoothing": 0.1},
        {"loss": "wasserstein", "weight_clip": 0.05, "penalties": {}},
        {"loss": "wasserstein", "penalties": {"gradient_penalty": 10.0}},
        {"loss": "least_squares"},
        {"conditioning": "none"},
        {"conditioning": "concat"},
        {"conditioning": "auxiliary"},
        {"spectral_norm": True},
        {"dropout": 0.3},
        {"penalties": {"consistency": 1.0}},
        {"ada_target": 0.6},
        {"instance_noise": 0.2},
        {"top_k": 0.5},
        {"balanced": False},
        {"discriminator_steps": 2},
        {"optimizer": "rmsprop"},
        {"discriminator_rate": 2.0},
        {"rate_schedule": "linear"},
        {"gamma_schedule": "cosine"},
        {"penalty_share": 0.25},
        {"slope": "sampled"},
        {"penalty_share": 0.5, "slope": "sampled", "dropout": 0.3},
        {"precision": "bfloat16"},
        {"network": "dcgan", "penalties": {}, "loss": "nonsaturating"},
        {"network": "resnet"},
        {"network": "stylegan"},
        {"network": "progressive"},
        {
            "network": "vae",
            "loss": "elbo",
            "conditioning": "concat",
            "penalties": {},
            "diffaug": [],
        },
    ],
    ids=str,
)
def test_every_technique_trains_and_makes_a_difference(change: dict[str, object]) -> None:
    uneven = shape_set(6).take([0, 1, 2, 3, 4, 5, 6, 7, 12])
    gan, ticks = trained(uneven, **change)
    assert np.isfinite([list(tick.curves.values()) for tick in ticks]).all()
    again, _ = trained(uneven, **change)
    assert weights(again) == weights(gan)
    assert weights(trained(uneven)[0]) != weights(gan)


def test_the_clock_can_end_a_run() -> None:
    _, ticks = trained(shape_set(4), total_kimg=None, total_minutes=0.005)
    assert ticks[-1].done == 1.0
    assert [tick.done for tick in ticks] == sorted(tick.done for tick in ticks)
    assert ticks[0].done < 1.0


def test_images_without_a_label_teach_the_unconditional_part() -> None:
    train, loose = shape_set(4), shape_set(6, seed=5)
    loose.manifest["label"] = -1
    settings = params(unlabelled="pseudo_label+unconditional")

    def run(unlabelled: ImageSet | None) -> Gan:
        gan = build_gan(train, settings, 0)
        list(train_gan(gan, train, settings, 0, unlabelled=unlabelled))
        return gan

    with_them = run(loose)
    assert weights(with_them) != weights(run(None))
    planted = ImageSet(loose.images, loose.manifest.assign(class_name="circle"))
    assert weights(run(planted)) == weights(with_them)


def test_the_average_trails_the_generator() -> None:
    gan, _ = trained(shape_set(4))
    assert not any(parameter.requires_grad for parameter in gan.ema.parameters())
    distances = [
        float((kept - now).detach().abs().max())
        for kept, now in zip(gan.ema.parameters(), gan.generator.parameters(), strict=True)
    ]
    assert 0 < max(distances) < 0.1


@pytest.mark.parametrize(
    "train",
    [
        shape_set(1),  # one image a class, fewer in all than a batch
        image_set(np.full((6, 8, 8, 1), 77, np.uint8), np.arange(6) % 2, ["a", "b"]),
    ],
    ids=["one image a class", "constant images"],
)
def test_the_poorest_sets_train_all_the_same(train: ImageSet) -> None:
    gan, ticks = trained(train, total_kimg=0.4)
    assert np.isfinite([list(tick.curves.values()) for tick in ticks]).all()
    assert all(bool(weight.isfinite().all()) for weight in gan.ema.state_dict().values())


def test_ticks_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Tick(0.0, 0.0, {}, 0.0, None).kimg = 1.0  # type: ignore[misc]

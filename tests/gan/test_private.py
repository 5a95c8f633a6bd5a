from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from opacus.accountants import RDPAccountant
from opacus.accountants.utils import get_noise_multiplier

from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.train_gan import Privacy, TrainGanParams
from tasks.contracts.privacy import Guarantee
from tasks.gan import accounting, private
from tasks.gan.accounting import composed, guarantee_of, spent, together
from tasks.gan.draws import Draws, check_units, units_of
from tasks.gan.model import build_gan
from tasks.gan.networks import Discriminator
from tasks.gan.private import (
    PoissonBatches,
    PrivateStep,
    noise_generator,
    noise_secret,
)
from tasks.gan.state import GanOutcome, Tick
from tasks.gan.training import train_gan
from tasks.gan.worker import GanJob
from tests.contracts.tiny import shape_set, tiny_params

PRIVATE: dict[str, Any] = {
    "privacy": {"epsilon": 10.0, "delta": 1e-3},
    "loss": "nonsaturating",
    "penalties": {},
    "balanced": False,
    "diffaug": [],
    "discriminator_steps": 2,
    "evaluation": {"every_kimg": 100, "features": "in_domain", "keep": "last"},
}
SECRET = (b"s" * 32, "this GAN")


def params(**overrides: object) -> TrainGanParams:
    return tiny_params(train_gan=PRIVATE | overrides).train_gan


def promised(noise: float = 1.0, **other: Any) -> Guarantee:
    facts: dict[str, Any] = {
        "epsilon": 1.0,
        "epsilon_together": 1.0,
        "delta": 1e-5,
        "gans": 1,
        "unit": "image",
        "units": 12,
        "noise_multiplier": noise,
        "max_grad_norm": 0.5,
        "sample_rate": 0.1,
        "steps": 50,
        "class_counts": "public",
    }
    return Guarantee(**facts | other)


def batches(train: ImageSet, batch_size: int = 8, **other: Any) -> PoissonBatches:
    facts: dict[str, Any] = {
        "count_noise": 0.0,
        "rng": noise_generator(*SECRET),
        "device": torch.device("cpu"),
    }
    return PoissonBatches(train, batch_size=batch_size, **facts | other)


def private_step(train: ImageSet, settings: TrainGanParams, noise: float) -> PrivateStep:
    gan = build_gan(train, settings, 0)
    draws = Draws(torch.Generator().manual_seed(1))
    return PrivateStep(gan, batches(train), settings, draws, promised(noise))


def shown(train: ImageSet, reals: int, fakes: int) -> tuple[torch.Tensor, ...]:
    """Return reals, their labels, fakes and theirs."""
    images = torch.from_numpy(train.images).permute(0, 3, 1, 2).float() / 127.5 - 1
    labels = torch.from_numpy(train.labels)
    fake = torch.rand(fakes, *images.shape[1:], generator=torch.Generator().manual_seed(2)) * 2 - 1
    return images[:reals], labels[:reals], fake, labels[-fakes:]


@pytest.mark.parametrize("part", [128, 5])
@pytest.mark.parametrize("reals", [7, 0])
@pytest.mark.parametrize(
    ("network", "conditioning", "loss"),
    [
        ("conv", "projection", "nonsaturating"),
        ("conv", "auxiliary", "hinge"),
        ("resnet", "none", "least_squares"),
        ("stylegan", "projection", "wasserstein"),
        ("conv", "concat", "saturating"),
    ],
)
def test_the_sum_is_that_of_gradients_clipped_one_by_one(
    network: str,
    conditioning: str,
    loss: str,
    reals: int,
    part: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against a loop that lets each image pass alone (Abadi et al. 2016, algorithm 1)."""
    monkeypatch.setattr(private, "_PART", part)
    train = shape_set(4)
    clip = {"weight_clip": 0.1} if loss == "wasserstein" else {}
    settings = params(network=network, conditioning=conditioning, loss=loss, **clip)
    step = private_step(train, settings, noise=0.0)
    discriminator = build_gan(train, settings, 0).discriminator
    assert isinstance(discriminator, Discriminator)
    parameters = list(discriminator.parameters())
    real, known, fake, labels = shown(train, reals, 8)
    summed = [torch.zeros_like(parameter) for parameter in parameters]
    still = torch.zeros(1)
    for number, (image, label) in enumerate(
        [*zip(real, known, strict=True), *zip(fake, labels, strict=True)]
    ):
        judged = discriminator.judge(image[None], label[None])
        if number < reals:
            value = step.loss.discriminator(judged.logits, still)
            if judged.class_logits is not None:
                value = value + torch.nn.functional.cross_entropy(judged.class_logits, label[None])
        else:
            value = step.loss.discriminator(still, judged.logits)
        own = torch.autograd.grad(value.sum(), parameters, allow_unused=True)
        own = [
            torch.zeros_like(p) if g is None else g for g, p in zip(own, parameters, strict=True)
        ]
        norm = torch.sqrt(sum((g.square().sum() for g in own), torch.zeros(())))
        factor = min(1.0, 0.5 / (float(norm) + 1e-6))
        assert factor < 1 or loss == "least_squares" or network == "stylegan"
        summed = [s + factor * g for s, g in zip(summed, own, strict=True)]
    step._set_rates(0.0)
    step._learn(real, known, fake, labels, 0.0)
    for parameter, slow in zip(step.discriminator.parameters(), summed, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, slow / 8, rtol=1e-4, atol=1e-6)


def test_the_noise_is_of_the_promised_size_and_from_the_secret() -> None:
    train = shape_set(4)
    with_noise, without = (private_step(train, params(), noise) for noise in (3.0, 0.0))
    for step in (with_noise, without):
        step._set_rates(0.0)
        step._learn(*shown(train, 5, 8), 0.0)
    rng = batches(train).rng  # the same secret, at the same place
    own = []
    pairs = zip(
        with_noise.discriminator.parameters(), without.discriminator.parameters(), strict=True
    )
    for noisy, clean in pairs:
        assert noisy.grad is not None
        assert clean.grad is not None
        noise = (noisy.grad - clean.grad) * 8
        expected = 3.0 * 0.5 * rng.standard_normal(tuple(noisy.shape), dtype=np.float32)
        np.testing.assert_allclose(noise.numpy(), expected, atol=1e-4)
        own.append(noise.flatten())
    assert float(torch.cat(own).std()) == pytest.approx(1.5, rel=0.1)


def test_units_are_drawn_independently_and_of_a_group_one_image() -> None:
    train = shape_set(10)
    manifest = train.manifest.assign(group=[f"g{row // 3}" for row in range(len(train))])
    grouped = ImageSet(train.images, manifest)
    units, unit = units_of(grouped)
    assert unit == "group"
    assert len(set(units)) == 10
    drawn = batches(grouped, batch_size=4)
    place = {image.tobytes(): row for row, image in enumerate(grouped.images)}
    sizes, seen = [], np.zeros((10, 10))
    frequency = np.zeros(len(grouped))
    for _ in range(3000):
        images, labels = drawn.batch()
        pixels = ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        rows = [place[image.tobytes()] for image in pixels]
        assert labels.tolist() == grouped.labels[rows].tolist()
        mine = units[rows]
        assert len(set(mine)) == len(mine)
        here = np.bincount(mine, minlength=10)
        seen += np.outer(here, here)
        frequency[rows] += 1
        sizes.append(len(mine))
    assert np.mean(sizes) == pytest.approx(4, abs=0.15)
    assert np.var(sizes) == pytest.approx(10 * 0.4 * 0.6, rel=0.15)  # binomial: independent
    together_ = seen[~np.eye(10, dtype=bool)] / 3000
    assert together_ == pytest.approx(np.full(90, 0.16), abs=0.03)
    assert frequency / 3000 == pytest.approx(np.full(30, 0.4 / 3), abs=0.03)
    assert units_of(shape_set(2))[1] == "image"


def test_draws_go_on_from_their_state() -> None:
    train = shape_set(6)
    first = batches(train)
    first.batch()
    other = batches(train, rng=noise_generator(b"another", "GAN"))
    other.restore(first.state())
    for one, two in zip(first.batch(), other.batch(), strict=True):
        assert torch.equal(one, two)


def test_fakes_are_asked_for_as_often_as_classes_occur() -> None:
    train = shape_set(6).take([0, *range(6, 18)])
    public = batches(train).asked(4000)
    assert np.bincount(public) / 4000 == pytest.approx(np.array([1, 6, 6]) / 13, abs=0.03)
    pairs = batches(train).asked(100, paired=True).view(-1, 2)
    assert torch.equal(pairs[:, 0], pairs[:, 1])
    noised = [
        np.bincount(
            batches(train, count_noise=10.0, rng=np.random.default_rng(s)).asked(4000),
            minlength=3,
        )
        for s in range(2)
    ]
    assert np.abs(noised[0] - noised[1]).max() > 400  # counts of 1 and 6, noise of 10


def test_noise_follows_from_the_secret_and_from_what_is_trained(tmp_path: Path) -> None:
    path = tmp_path / "new" / "secret"
    secret = noise_secret(path)
    assert noise_secret(path) == secret
    assert len(secret) == 32
    assert path.stat().st_mode & 0o077 == 0
    assert noise_secret(tmp_path / "other") != secret
    told = [("a", 0), ("b", 0)]
    drawn = {noise_generator(secret, f"{name} {seed}").random() for name, seed in told}
    assert len(drawn | {noise_generator(b"x", "a 0").random()}) == 3


def test_epsilon_is_what_opacus_counts_step_by_step() -> None:
    guarantee = promised(noise=1.3, sample_rate=0.05)
    accountant = RDPAccountant()
    for _ in range(400):
        accountant.step(noise_multiplier=1.3, sample_rate=0.05)
    orders = list(accounting._ORDERS)
    assert spent(guarantee, 400) == accountant.get_epsilon(1e-5, orders)
    for _ in range(800):
        accountant.step(noise_multiplier=1.3, sample_rate=0.05)
    three = [replace(guarantee, steps=400)] * 3
    assert composed(three) == pytest.approx(accountant.get_epsilon(1e-5, orders), rel=1e-12)
    assert spent(guarantee, 400) <= RDPAccountant.DEFAULT_ALPHAS[-1]
    accountant.step(noise_multiplier=10.0, sample_rate=1.0)
    noised = replace(guarantee, class_counts="noised", count_noise=10.0)
    assert spent(noised, 1200) == accountant.get_epsilon(1e-5, orders)


def test_gans_of_several_trainings_spend_what_opacus_counts_over_all_their_steps() -> None:
    first = replace(promised(noise=1.3, sample_rate=0.05), steps=300)
    second = replace(promised(noise=0.9, sample_rate=0.08), steps=200, count_noise=20.0)
    accountant = RDPAccountant()
    for _ in range(300):
        accountant.step(noise_multiplier=1.3, sample_rate=0.05)
    for _ in range(200):
        accountant.step(noise_multiplier=0.9, sample_rate=0.08)
    accountant.step(noise_multiplier=20.0, sample_rate=1.0)
    theirs = accountant.get_epsilon(1e-5, list(accounting._ORDERS))
    assert composed([first, second]) == pytest.approx(theirs, rel=1e-12)
    assert composed([first, second]) < composed([first]) + composed([second])


@pytest.mark.filterwarnings("ignore:Optimal order")
@pytest.mark.parametrize("epsilon", [0.3, 1.0, 10.0, 50.0])
def test_the_noise_takes_the_budget_and_no_more(epsilon: float) -> None:
    guarantee = guarantee_of(Privacy(epsilon=epsilon, delta=1e-5), 10_000, 256, 500)
    assert epsilon * 0.98 < guarantee.epsilon <= epsilon
    assert guarantee.epsilon == spent(guarantee, 500)
    theirs = get_noise_multiplier(
        target_epsilon=epsilon, target_delta=1e-5, sample_rate=0.0256, steps=500, accountant="rdp"
    )
    assert guarantee.noise_multiplier == pytest.approx(theirs, rel=0.1)
    two = together(guarantee, 2)
    assert two.epsilon == guarantee.epsilon < two.epsilon_together < 2 * epsilon
    noised = guarantee_of(
        Privacy(epsilon=epsilon, delta=1e-5, class_counts="noised"), 10_000, 256, 500
    )
    assert noised.noise_multiplier > guarantee.noise_multiplier
    assert noised.epsilon <= epsilon


@pytest.mark.parametrize(
    ("settings", "units", "batch_size", "words"),
    [
        ({"epsilon": 1e-4}, 100, 100, "epsilon: 0.0001.*no noise keeps"),
    ],
)
def test_what_cannot_be_promised_is_refused(
    settings: dict[str, Any], units: int, batch_size: int, words: str
) -> None:
    privacy = Privacy(**{"epsilon": 1.0, "delta": 1e-5} | settings)
    with pytest.raises(UserError, match=words):
        guarantee_of(privacy, units, batch_size, 100)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"batch_size": 32}, r"batch_size: 32.*more than all of them.*at most 8\."),
        ({"privacy": {"epsilon": 1.0, "delta": 0.06}}, r"delta: 0\.06.*gives one of them away"),
    ],
)
def test_what_so_few_images_cannot_be_given_is_refused_at_once(
    overrides: dict[str, Any], words: str
) -> None:
    mended = {"batch_size": 8, "privacy": PRIVATE["privacy"]}
    check_units(shape_set(12), params(**overrides | mended))
    with pytest.raises(UserError, match=words):
        check_units(shape_set(6), params(**overrides))


def test_a_secret_that_could_be_guessed_is_refused(tmp_path: Path) -> None:
    for text in ("", "0123", "x" * 64):
        (tmp_path / "secret").write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=r"is no secret of ganlift.*Remove it"):
            noise_secret(tmp_path / "secret")


def test_a_job_does_not_show_its_secret() -> None:
    path = Path("x")
    job = GanJob(path, None, params(), 0, 0, path, path, dict, secret=(b"told nobody", "GAN 0"))
    assert "told nobody" not in repr(job)


def trained(settings: TrainGanParams, secret: tuple[bytes, str]) -> tuple[bytes, list[Any]]:
    train = shape_set(8)
    gan = build_gan(train, settings, 0)
    told = list(train_gan(gan, train, settings, 0, secret=secret))
    return b"".join(t.numpy().tobytes() for t in gan.ema.state_dict().values()), told


def test_epsilon_rises_with_the_steps_and_ends_at_the_budget() -> None:
    weights, told = trained(params(total_kimg=0.16), SECRET)
    ticks = [one for one in told if isinstance(one, Tick)]
    outcome = told[-1]
    assert isinstance(outcome, GanOutcome)
    assert outcome.guarantee is not None
    assert outcome.guarantee.steps == 40
    epsilons = [tick.curves["epsilon"] for tick in ticks]
    assert epsilons == sorted(epsilons)
    assert epsilons[-1] == outcome.guarantee.epsilon <= 10.0
    assert trained(params(total_kimg=0.16), SECRET)[0] == weights
    assert trained(params(total_kimg=0.16), (b"other", SECRET[1]))[0] != weights


def test_a_private_training_never_goes_back_and_never_stops_by_what_it_sees() -> None:
    limits = {"max_rollbacks": 3, "max_logit": 1e-9, "max_gradient": 1e5, "max_burst": 20.0}
    health = {**limits, "collapse_below": 0.1, "collapse_patience": 1}
    with pytest.raises(UserError, match=r"diverged.*after 0 rollbacks.*learning_rate.$"):
        trained(params(health=health), SECRET)

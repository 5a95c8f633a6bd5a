from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Generator, Tensor, nn

from tasks.contracts.params.train_gan import Penalties
from tasks.gan.diffaug import diffaug
from tasks.gan.distributed import Group
from tasks.gan.draws import Draws
from tasks.gan.networks import Judgement
from tasks.gan.penalties import (
    DISCRIMINATOR_TERMS,
    GENERATOR_TERMS,
    DiscriminatorContext,
    GeneratorContext,
    exact_slopes,
    sampled_slopes,
)
from tests.reference import gan_penalties as slow

N, SIZE = 4, 8
LABELS = torch.tensor([0, 1, 1, -1, 0, 1, 1, -1])


class Toy(nn.Module):
    """A smooth discriminator that mixes nothing in a batch, and counts its passes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(64, 6)
        )
        self.embed = nn.Embedding(2, 6)
        self.passes = 0

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        self.passes += 1
        features = torch.tanh(self.body(images))
        known = (labels >= 0)[:, None]
        return (features * (1 + known * self.embed(labels.clamp(min=0)))).sum(1)


@pytest.fixture
def toy() -> Toy:
    torch.manual_seed(0)
    return Toy().double()


def draws(seed: int = 0) -> Draws:
    return Draws(Generator().manual_seed(seed))


def judging(network: nn.Module) -> Callable[[Tensor, Tensor], Judgement]:
    def judge(images: Tensor, labels: Tensor) -> Judgement:
        logits = network(images, labels)
        return Judgement(logits, logits[:, None] * 2, None)

    return judge


def context(
    toy: nn.Module,
    *,
    policies: Sequence[str] = ("color",),
    memory: dict[str, Tensor] | None = None,
    clean: Tensor | None = None,
    labels: Tensor = LABELS,
) -> DiscriminatorContext:
    if clean is None:
        shape = (len(labels), 1, SIZE, SIZE)
        random = Generator().manual_seed(5)
        clean = torch.rand(shape, dtype=torch.double, generator=random) * 2 - 1
    images = diffaug(clean, policies, draws(9)).detach()
    rows = torch.arange(len(labels))
    judged, slopes = exact_slopes(judging(toy), images, labels, rows)
    kept = {} if memory is None else memory
    return DiscriminatorContext(
        toy, policies, draws(), images, clean, labels, judged.logits, kept, slopes
    )


def test_the_terms_are_the_weights_of_the_params() -> None:
    assert {*DISCRIMINATOR_TERMS, *GENERATOR_TERMS} == set(Penalties.model_fields)


@pytest.mark.parametrize("name", DISCRIMINATOR_TERMS)
def test_a_term_is_one_number_a_pair_and_trains_the_discriminator(name: str, toy: Toy) -> None:
    memory = {"lecam": torch.tensor([1.0, -1.0], dtype=torch.double)}
    term = DISCRIMINATOR_TERMS[name](context(toy, memory=memory))
    assert term.shape == (N,)
    assert (term >= 0).all()
    term.mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in toy.body[0].parameters())


@pytest.mark.parametrize("name", ["r1", "r2", "gradient_penalty", "consistency"])
def test_a_pairs_term_does_not_feel_the_other_pairs(name: str, toy: Toy) -> None:
    before = context(toy)
    changed = before.clean.clone()
    changed[[0, N]] *= -1
    after = context(toy, clean=changed)
    pair = zip(*(DISCRIMINATOR_TERMS[name](c) for c in (before, after)), strict=True)
    assert [bool(torch.isclose(a, b)) for a, b in pair] == [False, True, True, True]


def test_r1_and_r2_are_half_the_squared_slopes_from_one_pass(toy: Toy) -> None:
    at = context(toy)
    found = torch.cat([DISCRIMINATOR_TERMS["r1"](at), DISCRIMINATOR_TERMS["r2"](at)])
    assert toy.passes == 1  # the context's own
    for i in range(2 * N):
        expected = slow.squared_slope(toy, at.images[i].detach(), LABELS[i]) / 2
        assert float(found[i].detach()) == pytest.approx(expected, rel=1e-5)


def test_the_exact_slopes_are_those_of_the_rows_and_the_judgement_is_of_all(toy: Toy) -> None:
    images = context(toy).images
    rows = torch.tensor([1, 6, 3])
    judged, slopes = exact_slopes(judging(toy), images, LABELS, rows)
    torch.testing.assert_close(judged.logits, toy(images, LABELS))
    torch.testing.assert_close(judged.features, 2 * judged.logits[:, None])
    for row, slope in zip(rows.tolist(), slopes.tolist(), strict=True):
        assert slope == pytest.approx(slow.squared_slope(toy, images[row], LABELS[row]), rel=1e-5)


def test_the_sampled_slopes_are_the_textbooks_and_the_judgement_is_of_all(toy: Toy) -> None:
    images, rows = context(toy).images, torch.tensor([1, 6, 3])
    directions = draws().normal(3, 1, SIZE, SIZE).double()
    toy.passes = 0
    judged, slopes = sampled_slopes(judging(toy), images, LABELS, rows, directions)
    assert toy.passes == 1
    torch.testing.assert_close(judged.logits, toy(images, LABELS))
    torch.testing.assert_close(judged.features, 2 * judged.logits[:, None])
    for row, direction, slope in zip(rows.tolist(), directions, slopes.tolist(), strict=True):
        expected = slow.slope_along(toy, images[row], LABELS[row], direction, NUDGE)
        assert slope == pytest.approx(expected**2, rel=1e-9)


NUDGE = 0.1  # of `sampled_slopes`


def many_sampled(network: nn.Module, image: Tensor, n: int) -> Tensor:
    """Slopes of one image along ``n`` directions."""
    images, labels = image.expand(n, -1, -1, -1), torch.zeros(n, dtype=torch.long)
    directions = draws(3).normal(n, *image.shape).to(image.dtype)
    return sampled_slopes(judging(network), images, labels, torch.arange(n), directions)[1]


def test_the_sampled_slope_of_a_plane_has_the_exact_ones_mean() -> None:
    n, image = 20_000, torch.zeros(1, SIZE, SIZE, dtype=torch.double)
    found = many_sampled(Plane(3.0), image, n).detach()
    assert float(found.mean()) == pytest.approx(9.0, abs=4 * 9 * math.sqrt(2 / n))
    assert float(found.var()) == pytest.approx(2 * 81.0, rel=0.1)  # 9 times a chi-square of 1


class Bowl(nn.Module):
    """A logit ``w . x + curvature |x|^2 / 2``: its slope at 0 is ``|w|``."""

    def __init__(self, curvature: float) -> None:
        super().__init__()
        self.curvature, self.plane = curvature, Plane(1.0)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        bent = images.flatten(1).square().sum(1) * self.curvature / 2
        return self.plane(images, labels) + bent


@pytest.mark.parametrize("curvature", [0.3, 3.0])
def test_the_sampled_slope_of_a_bowl_is_biased_by_its_known_amount(curvature: float) -> None:
    """E ((D(eps n) - D(0)) / eps)^2 = |w|^2 + (eps c / 2)^2 (d^2 + 2 d), the square of |n|^2."""
    n, d = 20_000, SIZE * SIZE
    found = many_sampled(Bowl(curvature), torch.zeros(1, SIZE, SIZE, dtype=torch.double), n)
    expected = 1.0 + (NUDGE * curvature / 2) ** 2 * (d * d + 2 * d)
    error = float(found.std().detach()) / math.sqrt(n)
    assert float(found.mean().detach()) == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize("slope", ["exact", "sampled"])
def test_a_share_of_the_batch_has_the_whole_batchs_mean_and_gradient(slope: str, toy: Toy) -> None:
    images, random = context(toy).images, draws(4)
    weight = toy.body[0].weight

    def gradient(rows: Tensor, directions: Tensor | None = None) -> Tensor:
        if directions is None:
            slopes = exact_slopes(judging(toy), images, LABELS, rows)[1]
        else:
            slopes = sampled_slopes(judging(toy), images, LABELS, rows, directions)[1]
        (pull,) = torch.autograd.grad(slopes.mean(), weight)
        return torch.cat([slopes.mean().detach()[None], pull.flatten()])

    def drawn(rows: Callable[[], Tensor], times: int) -> tuple[Tensor, Tensor]:
        """Mean over many draws, and its squared standard error."""
        found = []
        for _ in range(times):
            at = rows()
            along = random.normal(len(at), 1, SIZE, SIZE).double() if slope == "sampled" else None
            found.append(gradient(at, along))
        every = torch.stack(found)
        return every.mean(dim=0), every.var(dim=0) / times

    def some() -> Tensor:
        pairs = random.one_of_each(N, 4)
        return torch.cat([pairs, pairs + N])

    part, error = drawn(some, 800 if slope == "sampled" else 200)
    whole, other = drawn(lambda: torch.arange(2 * N), 400 if slope == "sampled" else 2)
    off = (part - whole).abs()
    assert bool((off < 4.5 * (error + other).sqrt() + 1e-9).all())
    assert float(error[0].sqrt()) < 0.1 * float(whole[0])  # or nothing would be asserted


def test_the_slope_of_the_slope_is_right(toy: Toy) -> None:
    weight = toy.body[0].weight

    def penalty() -> Tensor:
        return DISCRIMINATOR_TERMS["r1"](context(toy)).sum()

    (found,) = torch.autograd.grad(penalty(), weight)
    for place in [(0, 0, 0, 0), (2, 0, 1, 2), (3, 0, 2, 1)]:
        values = []
        for nudge in (1e-5, -2e-5):
            with torch.no_grad():
                weight[place] += nudge
            values.append(float(penalty().detach()))
        with torch.no_grad():
            weight[place] += 1e-5
        assert float(found[place]) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4)


def test_gradient_penalty_is_the_textbooks(toy: Toy) -> None:
    at = context(toy)
    real, fake = at.images.detach().chunk(2)
    places = draws().uniform(N, 1, 1, 1).flatten().tolist()
    assert len(set(places)) == N  # each pair has its own
    found = DISCRIMINATOR_TERMS["gradient_penalty"](at).detach()
    expected = slow.wasserstein_penalty(toy, real, fake, LABELS[:N], places)
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


class Plane(nn.Module):
    """A logit that is the same slope everywhere, ``slope`` long."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((SIZE * SIZE,), slope / SIZE).double())

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight


@pytest.mark.parametrize(("slope", "penalty"), [(1.0, 0.0), (3.0, 4.0), (0.5, 0.25), (0.0, 1.0)])
def test_gradient_penalty_of_a_plane_is_by_hand(slope: float, penalty: float) -> None:
    plane = Plane(slope)
    term = DISCRIMINATOR_TERMS["gradient_penalty"](context(plane))
    assert term.tolist() == pytest.approx([penalty] * N, abs=1e-12)
    term.mean().backward()  # at no slope too, where a norm has no derivative
    assert plane.weight.grad is not None
    assert torch.isfinite(plane.weight.grad).all()


def test_r1_of_a_plane_is_half_its_slope_squared() -> None:
    assert DISCRIMINATOR_TERMS["r1"](context(Plane(3.0))).tolist() == pytest.approx([4.5] * N)


def test_lecam_is_the_textbooks_over_many_steps(toy: Toy) -> None:
    memory: dict[str, Tensor] = {}
    steps, found = [], []
    for step in range(6):
        at = context(toy, memory=memory)
        at.logits = at.logits * (1 + step) + step
        steps.append(tuple(half.tolist() for half in at.logits.detach().chunk(2)))
        found.append(DISCRIMINATOR_TERMS["lecam"](at).tolist())
        assert not any(kept.requires_grad for kept in memory.values())
    for mine, expected in zip(found, slow.lecam(steps), strict=True):
        assert mine == pytest.approx(expected)


def test_lecam_goes_on_from_kept_memory(toy: Toy) -> None:
    memory: dict[str, Tensor] = {}
    DISCRIMINATOR_TERMS["lecam"](context(toy, memory=memory))
    kept = {name: tensor.clone() for name, tensor in memory.items()}
    results = []
    for each in (memory, kept):
        at = context(toy, memory=each)
        at.logits = at.logits + 2
        results.append(DISCRIMINATOR_TERMS["lecam"](at))
    assert torch.equal(*results)


class Peer(Group):
    """Stands for the processes whose mean is known beforehand."""

    def average(self, tensors: Sequence[Tensor]) -> None:
        tensors[0].copy_(MEANS)


MEANS = torch.tensor([0.7, -0.2], dtype=torch.double)


def test_lecams_anchors_are_the_whole_batchs_in_every_process(toy: Toy) -> None:
    at = context(toy)
    at.group = Peer()
    DISCRIMINATOR_TERMS["lecam"](at)
    torch.testing.assert_close(at.memory["lecam"], MEANS)


def test_consistency_is_the_change_by_fresh_augmentation(toy: Toy) -> None:
    at = context(toy, policies=("translation", "color"))
    random = draws()
    altered = [diffaug(side, at.policies, random) for side in at.clean.chunk(2)]
    change = toy(torch.cat(altered), LABELS) - toy(at.clean, LABELS)
    expected = [change[i] ** 2 + change[i + N] ** 2 for i in range(N)]
    torch.testing.assert_close(DISCRIMINATOR_TERMS["consistency"](at), torch.stack(expected))


def test_consistency_is_nothing_where_augmentation_changes_nothing(toy: Toy) -> None:
    dark = torch.full((2 * N, 1, SIZE, SIZE), -1.0, dtype=torch.double)  # translation fills dark
    at = context(toy, policies=("translation",), clean=dark)
    assert DISCRIMINATOR_TERMS["consistency"](at).tolist() == [0.0] * N


@pytest.mark.parametrize("name", DISCRIMINATOR_TERMS)
def test_terms_are_in_float32_under_mixed_precision(name: str, toy: Toy) -> None:
    toy.float()
    clean = torch.rand(2 * N, 1, SIZE, SIZE) * 2 - 1
    exact = DISCRIMINATOR_TERMS[name](context(toy, clean=clean))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        at = context(toy, clean=clean)
        at.logits = at.logits.bfloat16()
        rough = DISCRIMINATOR_TERMS[name](at)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.1, atol=0.02)


def generator_context(
    fake: Tensor | None = None, latents: Tensor | None = None, n: int = 6
) -> GeneratorContext:
    torch.manual_seed(0)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])[:n]
    return GeneratorContext(
        torch.randn(n, 3, 4, 4) if fake is None else fake,
        torch.randn(n, 5) if latents is None else latents,
        labels,
        *(torch.randn(n, 7, requires_grad=True) for _ in range(2)),
        nn.Identity(),
    )


def test_mode_seeking_is_the_loop_over_pairs() -> None:
    at = generator_context()
    expected = []
    for i in range(3):
        far = (at.fake[i] - at.fake[i + 3]).abs().mean()
        apart = (at.latents[i] - at.latents[i + 3]).abs().mean()
        expected.append(1 / (far / apart + 1e-5))
    torch.testing.assert_close(GENERATOR_TERMS["mode_seeking"](at), torch.stack(expected))


def test_mode_seeking_drives_equal_images_apart() -> None:
    same = torch.zeros(2, 1, 4, 4)
    apart = same.clone()
    apart[1] += 0.5
    collapsed, diverse = (
        GENERATOR_TERMS["mode_seeking"](generator_context(fake, n=2, latents=torch.eye(2)))
        for fake in (same, apart)
    )
    assert torch.isfinite(collapsed).all()
    assert (collapsed > 100 * diverse).all()


def test_feature_matching_is_the_textbooks_class_by_class() -> None:
    at = generator_context()
    at.labels = torch.tensor([0, 1, 1, 0, 1, 2])
    found = GENERATOR_TERMS["feature_matching"](at).tolist()
    fake, real = at.fake_features.detach(), at.real_features.detach()
    assert found == pytest.approx(slow.feature_matching(fake, real, at.labels.tolist()), rel=1e-5)


def test_feature_matching_is_nothing_for_the_reals_in_another_order_of_a_class() -> None:
    at = generator_context()
    at.fake_features = at.real_features.detach()[[3, 4, 5, 0, 1, 2]].requires_grad_(True)
    assert GENERATOR_TERMS["feature_matching"](at).tolist() == pytest.approx([0.0] * 6, abs=1e-9)
    swapped = generator_context()
    swapped.fake_features = swapped.real_features.detach()[[1, 0, 2, 4, 3, 5]]
    found = GENERATOR_TERMS["feature_matching"](swapped)  # one class's features for another's
    assert (found > 0.1).tolist() == [True, True, False, True, True, False]


def test_feature_matching_teaches_fakes_alone() -> None:
    at = generator_context()
    loss = GENERATOR_TERMS["feature_matching"](at).mean()
    pulls = torch.autograd.grad(loss, (at.fake_features, at.real_features), allow_unused=True)
    assert pulls[0].abs().sum() > 0
    assert pulls[1] is None
    better = at.fake_features - 0.5 * pulls[0]
    at.fake_features = better
    assert GENERATOR_TERMS["feature_matching"](at).mean() < loss

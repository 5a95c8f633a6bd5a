"""The stage `retrain` on the smallest sets that still hold every arm."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import pytest

from tasks import retrain
from tasks.contracts.arms import COMPARED, FILTERED
from tasks.contracts.image_set import ImageSet, concatenate
from tests.contracts.tiny import tiny_params
from tests.data.fake_sets import noise_set, soft_set, synthetic_set

GANS = (3, 7)
SEEDS = [0, 5, 6]
SETS = (
    *("merged", "control", "distilled", "val", "spare", "unlabelled", "pseudo", "other_domain"),
    *("related", "test"),
)


def save_inputs(root: Path) -> Path:
    pools = [synthetic_set(4, gan_seed) for gan_seed in GANS]
    uneven = noise_set(8).take(range(12))  # 8 cats and 4 dogs, so that dogs are rare
    both = concatenate([uneven, *(pool.take([0, 1, 4, 5]) for pool in pools)])
    seeds = both.manifest.astype({"gan_seed": "Int64"})
    ImageSet(both.images, seeds).save(root / "merged")
    concatenate([pool.take(range(7, -1, -1)) for pool in pools]).save(root / "control")
    for name, seed in (
        ("test", 50),
        ("val", 51),
        ("pseudo", 52),
        ("other_domain", 54),
        ("unlabelled", 56),
    ):
        noise_set(10, seed=seed).save(root / name)
    noise_set(8, seed=53).save(root / "spare")
    noise_set(0).save(root / "related")
    soft_set(3, seed=55).save(root / "distilled")
    return root


def copied(inputs: Path, to: Path, *, but: Collection[str] = ()) -> Path:
    """All sets, but those that a test makes otherwise."""
    for name in SETS:
        if name not in but:
            ImageSet.load(inputs / name).save(to / name)
    return to


def run(inputs: Path, out: Path, seed: int = 0, **overrides: object) -> Path:
    retrain.run(
        **{name: inputs / name for name in SETS},
        runs=out / "a/runs.parquet",
        predictions=out / "b/predictions.parquet",
        classifier=out / "c/classifier",
        classifiers=out / "c/classifiers",
        summary=out / "d/retrain.json",
        params=tiny_params(retrain={"seeds": SEEDS, "fractions": [0.5, 2.0]} | overrides).retrain,
        seed=seed,
    )
    return out


def afresh(inputs: Path, out: Path, **overrides: object) -> Path:
    """A run where nothing is kept."""
    with pytest.MonkeyPatch.context() as patch:
        out.mkdir()
        patch.chdir(out)
        return run(inputs, out / "new", **overrides)


def same(one: Path, two: Path) -> None:
    files = [path.relative_to(one) for path in one.rglob("*") if path.is_file()]
    assert len(files) == 5 + 2 * len({*COMPARED} - {FILTERED})
    for file in files:
        assert (one / file).read_bytes() == (two / file).read_bytes(), file


def told(out: Path) -> dict:
    return json.loads((out / "d/retrain.json").read_text(encoding="utf-8"))

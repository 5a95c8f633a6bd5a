from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from bench.privacy import likelihood_ratios, recipe
from tasks.contracts.params.line import load_params

ROOT = Path(__file__).parents[1]


def test_likelihood_ratios_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    seen = rng.random((5, 40)) < 0.5
    logits = rng.normal(size=(5, 40)) + seen
    found = likelihood_ratios(seen, logits)
    scaled = [(row - row.mean()) / row.std() for row in logits]
    for target in range(5):
        sides: tuple[dict[int, list[float]], dict[int, list[float]]] = ({}, {})
        for image in range(40):
            for shadow in range(5):
                if shadow != target:
                    side = sides[0 if seen[shadow, image] else 1]
                    side.setdefault(image, []).append(scaled[shadow][image])
        told = sorted(set(sides[0]) & set(sides[1]))
        spreads = [
            math.sqrt(np.mean([(x - np.mean(of[image])) ** 2 for image in told for x in of[image]]))
            for of in sides
        ]
        for image in range(40):
            if image not in told:
                assert math.isnan(found[target, image])
                continue
            value = scaled[target][image]
            inside, outside = (
                norm.logpdf(value, np.mean(of[image]), spread)
                for of, spread in zip(sides, spreads, strict=True)
            )
            assert math.isclose(found[target, image], inside - outside, rel_tol=1e-9)


def test_ratios_find_members_that_logits_hide_behind_easy_images() -> None:
    rng = np.random.default_rng(1)
    seen = rng.random((16, 300)) < 0.5
    logits = 5 * rng.normal(size=300) + 1.0 * seen + 0.5 * rng.normal(size=(16, 300))
    by_logit, by_ratio = (
        np.mean([roc_auc_score(mine, score) for mine, score in zip(seen, scores, strict=True)])
        for scores in (logits, likelihood_ratios(seen, logits))
    )
    assert by_logit < 0.6
    assert by_ratio > 0.85


def test_a_recipe_has_its_budget_and_ones_own_settings() -> None:
    base = load_params(ROOT / "params.yaml").train_gan
    found = recipe(base, 3.0, 1e-6, ["total_kimg=2", "batch_size=32", "beta1=0.5"])
    assert found.private
    assert (found.privacy.epsilon, found.privacy.delta) == (3.0, 1e-6)
    assert (found.total_kimg, found.batch_size, found.beta1) == (2, 32, 0.5)
    assert recipe(base, None, 1e-6, []).privacy.epsilon is None

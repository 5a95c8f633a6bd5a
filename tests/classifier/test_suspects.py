from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from tasks.classifier.suspects import other_class, probe, shrunk, suspects


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, pd.DataFrame]:
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels[:600] * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
    ids = [f"group {number}" for number in range(600)]
    return images, pd.DataFrame({"label": labels[:600].astype(np.int64), "group": ids})


def test_planted_wrong_labels_are_found_and_right_ones_let_be(digits):
    images, manifest = digits
    rng = np.random.default_rng(3)
    wrong = rng.permutation(600)[:30]
    spoiled = manifest.copy()
    spoiled.loc[wrong, "label"] = (manifest["label"][wrong] + rng.integers(1, 10, 30)) % 10
    found = suspects([images[:400], images[400:]], spoiled, seed=0)
    assert found.judged
    hits = found.rows[found.rows["row"].isin(wrong)]
    assert len(hits) >= 0.7 * 30
    assert len(hits) >= 0.9 * len(found.rows)
    right = manifest["label"][hits["row"]].to_numpy() == hits["suggested"].to_numpy()
    assert right.mean() >= 0.9
    assert len(suspects([images], manifest, seed=0).rows) <= 0.01 * 600


def test_same_seed_finds_the_same(digits):
    images, manifest = digits
    one, two = (suspects([images], manifest, seed=4) for _ in range(2))
    pd.testing.assert_frame_equal(one.rows, two.rows)
    assert one.recall == two.recall


def test_a_probe_that_guesses_says_nothing():
    images = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 1), dtype=np.uint8)
    manifest = pd.DataFrame({"label": np.arange(100) % 4, "group": [str(n) for n in range(100)]})
    found = suspects([images], manifest, seed=0)
    assert found.recall is not None
    assert not found.judged
    assert found.rows.empty
    few = suspects([images[:20]], manifest[:20], seed=0)
    assert few.recall is None
    assert not few.judged


def test_an_image_is_never_judged_by_its_own_group(digits):
    """Twins with one wrong label each: a probe that saw the twin would call the label right."""
    images, manifest = digits
    twice = np.concatenate([images[:300], images[:300]])
    labels = np.tile(manifest["label"][:300].to_numpy(), 2)
    labels[[5, 305]] = (labels[5] + 1) % 10
    groups = [str(number % 300) for number in range(600)]
    said = probe(shrunk(twice), labels, groups, seed=0)
    assert np.allclose(said[:300], said[300:])
    assert said[5, labels[5]] < 0.5


def test_as_many_cores_as_there_are_change_no_bit(digits, monkeypatch: pytest.MonkeyPatch):
    images, manifest = digits
    said = []
    for cores in (1, 3):
        monkeypatch.setattr("joblib.cpu_count", lambda cores=cores: cores)
        features, labels = shrunk(images[:400]), manifest["label"][:400].to_numpy()
        said.append(probe(features, labels, manifest["group"][:400].tolist(), seed=0).tobytes())
    assert said[0] == said[1]


def test_another_class_counts_where_it_leads_by_a_half():
    said = np.array([[0.9, 0.1], [0.24, 0.76], [0.26, 0.74], [0.8, 0.2], [0.4, 0.6]])
    assert other_class(said, np.array([0, 0, 0, 1, 1])).tolist() == [-1, 1, -1, 0, -1]


def test_large_images_are_shrunk_by_the_mean_of_blocks():
    images = np.zeros((2, 64, 32, 3), dtype=np.uint8)
    images[1, :4, :2] = 255
    features = shrunk(images)
    assert features.shape == (2, 16 * 16 * 3)
    assert features[1, :3].tolist() == [1.0, 1.0, 1.0]
    assert features.sum() == 3.0

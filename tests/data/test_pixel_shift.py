from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.data.pixel_shift import drift, with_robust_z


def stats(count: int, seed: int, *, shift: float = 0.0, labels=None, groups=None) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    label = np.arange(count) % 2 if labels is None else labels
    values = rng.normal(100 + 60 * label + shift, 10)
    return pd.DataFrame(
        {"brightness": values, "pixel_std": rng.normal(50, 5, count), "label": label,
         "sharpness": rng.normal(9, 2, count), "group": np.arange(count) if groups is None
         else groups}
    )  # fmt: skip


def test_z_is_robust_and_of_the_images_own_class():
    train = stats(200, 0)
    train.loc[:9, "brightness"] = 255.0  # a tenth of outliers moves neither median nor spread
    z = with_robust_z(train, train)["brightness_z"]
    assert (z[:10].abs() > 6).all()
    assert (z[10:].abs() < 6).all()
    odd = stats(2, 1).assign(brightness=[160.0, 100.0])  # usual, but of the other class each
    assert (with_robust_z(odd, train)["brightness_z"].abs() > 3).all()


def test_near_equal_images_have_no_outliers():
    same = stats(40, 0).assign(brightness=100.0)
    same.loc[0, "brightness"] = 103.0
    assert with_robust_z(same, same)["brightness_z"].abs().max() == pytest.approx(1.5)


def test_a_rare_class_is_compared_with_all():
    train = stats(60, 0, labels=np.array([0] * 57 + [1] * 3))
    far = train.tail(1).assign(brightness=250.0)
    assert with_robust_z(far, train)["brightness_z"].iloc[0] > 6


def drifts(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, float]:
    return drift({"train": train, "test": test}).set_index("compared")["drift"].to_dict()


def test_splits_alike_do_not_drift_and_shifted_ones_do():
    for seed in range(20):
        assert max(drifts(stats(300, seed), stats(100, 100 + seed)).values()) < 0.05
    found = drifts(stats(300, 0), stats(100, 1, shift=40.0))
    assert found["brightness of test"] > 0.2
    assert found["contrast of test"] == 0.0


def test_another_mix_of_classes_is_no_drift():
    test = stats(200, 1, labels=np.array([1] * 180 + [0] * 20))
    assert max(drifts(stats(300, 0), test).values()) < 0.05


def test_images_of_few_groups_prove_less():
    train, test = stats(300, 0), stats(100, 1, shift=20.0)
    test_of_three = test.assign(group=np.arange(100) % 3)
    assert drifts(train, test)["brightness of test"] > 0.1
    assert drifts(train, test_of_three)["brightness of test"] == 0.0


def test_no_common_class_is_not_compared():
    assert drift({"train": stats(10, 0), "test": stats(10, 1).assign(label=7)}).empty

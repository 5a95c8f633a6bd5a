"""How many images there are of every class and from every GAN."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

_RARE = 0.5


def classes_of(frame: pd.DataFrame) -> dict[int, str]:
    """Return label -> class name, labels 0 to K-1 of K class names, each label its usual name."""
    pairs = frame.value_counts(["class_name", "label"]).reset_index(name="images")
    pairs = pairs.sort_values(["images", "label", "class_name"], ascending=[False, True, True])
    usual: dict[int, str] = {}
    for label, name in zip(pairs["label"], pairs["class_name"], strict=True):
        if 0 <= label < frame["class_name"].nunique() and name not in usual.values():
            usual.setdefault(int(label), name)
    return dict(sorted(usual.items()))


def class_counts(frame: pd.DataFrame, names: Mapping[int, str]) -> pd.DataFrame:
    """Return ``class_name``, ``label`` and ``images`` for every class, absent ones with 0."""
    images = frame["label"].value_counts().reindex(list(names), fill_value=0)
    return pd.DataFrame(
        {"class_name": list(names.values()), "label": list(names), "images": images.to_numpy()}
    )


def is_rare(images: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Tell of each class, ``[K]``, whether it has half the images of another one, or fewer."""
    counts = np.asarray(images)
    rare: npt.NDArray[np.bool_] = counts <= _RARE * counts.max()
    return rare


def gan_counts(merged: pd.DataFrame) -> pd.DataFrame:
    """Return ``gan``, ``gan_seed``, ``synthetic`` and ``ratio`` (synthetic for every real)."""
    real = max(1, int((merged["origin"] == "real").sum()))
    synthetic = merged[merged["origin"] == "synthetic"].groupby("gan_seed").size()
    seeds = [int(seed) for seed in synthetic.index]
    return pd.DataFrame(
        {
            "gan": pd.Series([f"GAN {seed}" for seed in seeds], dtype="str"),
            "gan_seed": pd.Series(seeds, dtype="int64"),
            "synthetic": synthetic.to_numpy(),
            "ratio": synthetic.to_numpy() / real,
        }
    )

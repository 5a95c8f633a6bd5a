from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from tasks.data.last_validated import drift_since, keep_validated


def described(brightness: float, names: tuple[str, ...] = ("ant", "bee")) -> pd.DataFrame:
    """200 images of each class, as bright as given in the mean."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(names)), 200)
    return pd.DataFrame(
        {
            "class_name": [names[label] for label in labels],
            "label": labels,
            "group": [str(row) for row in range(len(labels))],
            "brightness": rng.normal(brightness, 10, len(labels)),
            "pixel_std": rng.normal(40, 5, len(labels)),
            "sharpness": rng.normal(8, 1, len(labels)),
        }
    )


def test_a_shift_since_the_last_time_is_measured_and_nothing_else_is(tmp_path: Path) -> None:
    file = tmp_path / "kept" / "validated.parquet"
    assert drift_since(described(100), 8, file).empty
    keep_validated(described(100), 8, file)
    assert (drift_since(described(100), 8, file)["drift"] == 0).all()
    moved = drift_since(described(120), 8, file).set_index("compared")["drift"]
    assert moved["brightness of before"] > 0.4
    assert moved["contrast of before"] == 0
    assert drift_since(described(120), 16, file).empty  # another size measures something else


def test_classes_are_known_by_their_names_not_their_numbers(tmp_path: Path) -> None:
    file = tmp_path / "validated.parquet"
    keep_validated(described(100, ("ant", "bee")), 8, file)
    today = described(100, ("aphid", "ant"))  # ant is class 1 now
    assert (drift_since(today, 8, file)["drift"] == 0).all()
    assert drift_since(described(100, ("x", "y")), 8, file).empty

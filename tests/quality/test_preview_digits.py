"""Scores beside what was asked of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tasks.quality.preview import _told


@pytest.mark.parametrize(
    ("value", "least", "told"),
    [
        (1.0, 1.0, ("1.00", "1.00")),
        (0.98, 0.984, ("0.980", "0.984")),
        (0.5, 0.9, ("0.50", "0.90")),
        (0.99999, 1.0, ("0.99999", "1.00000")),
        (0.4, np.nan, ("0.40", "")),
        (np.nan, 0.4, ("", "0.40")),
        (pd.NA, pd.NA, ("", "")),
    ],
)
def test_a_score_that_falls_never_reads_like_its_threshold(value, least, told):
    assert _told(value, least, 2) == told

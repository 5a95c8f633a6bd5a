"""``ganlift filter --preview``: accepted and rejected images side by side, before the merge."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from flows.line_file import paths
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.line import load_params
from tasks.quality.preview import render_preview

PAGE = Path("reports/filter_preview.html")


def write_preview() -> Path:
    """Write the page of the project in the working directory, and return its path.

    Raises:
        UserError: the filter has not run, or the pool is another by now.
    """
    where = paths()
    scores = where["scores"]
    if not scores.is_file():
        raise UserError(str(scores), "is missing", "Run `ganlift filter --preview`")
    pool = ImageSet.load(where["pool"])
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(
        render_preview(pool, pd.read_parquet(scores), load_params().seed), encoding="utf-8"
    )
    return PAGE

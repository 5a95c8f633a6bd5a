"""``ganlift filter --preview``: real, accepted and rejected images side by side."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from flows.line_file import paths
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.outputs import published
from tasks.contracts.params.line import load_params
from tasks.quality.preview import render_preview

PAGE = Path("reports/filter_preview.html")


def write_preview() -> Path:
    """Write the page of the project in the working directory, and return its path.

    Raises:
        UserError: the filter has not run, the pool is another by now, or another file stands in the
            page's place.
    """
    where = paths()
    scores = where["scores"]
    if not scores.is_file():
        raise UserError(str(scores), "is missing", "Run `ganlift filter --preview`")
    pool = ImageSet.load(where["pool"])
    real = ImageSet.load(where["train"])
    page = render_preview(pool, pd.read_parquet(scores), real, load_params().seed)
    with published("filter_preview", {"page": PAGE}) as aside:
        aside["page"].write_text(page, encoding="utf-8")
    return PAGE

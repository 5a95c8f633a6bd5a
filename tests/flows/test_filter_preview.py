from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from flows import cli, filter_preview, run
from flows.filter_preview import PAGE, write_preview
from flows.run import Wishes
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tests.contracts.tiny import tiny_values
from tests.data.fake_sets import synthetic_set

NAMES = ("<b>cat</b>", "dog & co")
SHOWN = re.compile(r'<img src="data:image/png;base64,([^"]+)"')


def scores_of(pool: ImageSet) -> pd.DataFrame:
    """Every third image is rejected, for one reason or another."""
    number = np.arange(len(pool))
    reason = np.where(number % 3 > 0, "accepted", np.where(number % 2, "copy", "low <p>"))
    return pool.manifest[["image_id", "label", "class_name", "gan_seed"]].assign(
        p_real=number / 1000,
        p_real_threshold=0.25,
        confidence=0.5,
        confidence_threshold=np.nan,
        margin=-0.125,
        realism=1.5,
        nearest_distance=12.25,
        hash_distance=7.0,
        reason=reason,
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ImageSet:
    """A project whose filter has run; entered."""
    monkeypatch.chdir(tmp_path)
    where = {"pool": "data/pool", "scores": "scores.parquet"}
    Path("dvc.yaml").write_text(yaml.safe_dump({"vars": [{"path": where}], "stages": {}}))
    Path("params.yaml").write_text(yaml.safe_dump(tiny_values()))
    pool = synthetic_set(50, 3, NAMES)
    pool.save(Path("data/pool"))
    scores_of(pool).to_parquet("scores.parquet")
    return pool


def test_each_side_of_each_class_shows_a_bounded_random_choice(project: ImageSet) -> None:
    assert write_preview() == PAGE
    page = PAGE.read_text(encoding="utf-8")
    ids = {image.tobytes(): row for row, image in enumerate(np.asarray(project.images))}
    rows = []
    for png in SHOWN.findall(page):
        with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
            rows.append(ids[np.asarray(picture)[..., None].tobytes()])  # to the pixel
    assert len(rows) == len(set(rows)) == 2 * 2 * 12
    reason = scores_of(project)["reason"].to_numpy()[rows]
    sides = reason.reshape(2, 2, 12) == "accepted"
    assert sides[:, 0].all()
    assert not sides[:, 1].any()
    assert (project.labels[rows].reshape(2, 24) == [[0], [1]]).all()
    good = np.array(rows).reshape(2, 2, 12)[:, 0]
    assert (np.diff(good) < 0).any()  # neither in order nor the best
    write_preview()
    assert PAGE.read_text(encoding="utf-8") == page


def test_the_page_loads_nothing_and_escapes_what_comes_from_data(project: ImageSet) -> None:
    write_preview()
    page = PAGE.read_text(encoding="utf-8")
    assert "<b>cat" not in page
    assert "low <p>" not in page
    assert "&lt;b&gt;cat&lt;/b&gt;" in page
    assert "dog &amp; co" in page
    assert not re.search(r"https?:|<script|<link|url\(", page)
    assert "<small>/0.25</small>" in page
    assert "nan" not in page
    assert "66 of 100 images" in page


def test_a_class_without_rejected_images_says_so(project: ImageSet) -> None:
    scores_of(project).assign(reason="accepted").to_parquet("scores.parquet")
    write_preview()
    page = PAGE.read_text(encoding="utf-8")
    assert len(SHOWN.findall(page)) == 24
    assert page.count("None.") == 2


def test_another_pool_or_no_scores_are_refused(project: ImageSet) -> None:
    project.take(np.arange(len(project))[::-1]).save(Path("data/pool"))
    with pytest.raises(UserError, match="the scores of another pool"):
        write_preview()
    Path("scores.parquet").unlink()
    with pytest.raises(UserError, match=r"scores\.parquet.*ganlift filter --preview"):
        write_preview()
    assert not PAGE.exists()


@pytest.mark.parametrize("preview", [False, True])
def test_the_command_runs_the_line_up_to_the_filter(
    preview: bool,
    project: ImageSet,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[Wishes] = []
    monkeypatch.setattr(run, "run_line", lambda root, wishes: asked.append(wishes))
    monkeypatch.setattr(sys, "argv", ["ganlift", "filter", *(["--preview"] if preview else [])])
    with pytest.raises(SystemExit, match="0"):
        cli.main()
    assert asked == [Wishes(None, (), None, "quality_filter", False)]
    assert PAGE.exists() is preview
    assert (str(filter_preview.PAGE) in capsys.readouterr().out) is preview

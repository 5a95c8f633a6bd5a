from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from playwright.sync_api import sync_playwright

from flows import filter_preview, run
from flows.filter_preview import PAGE, write_preview
from flows.run import Wishes
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tests.contracts.tiny import shape_set, tiny_values
from tests.data.fake_sets import noise_set, synthetic_set
from tests.flows.command_line import command

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
    where = {"pool": "data/pool", "scores": "scores.parquet", "train": "data/train"}
    Path("dvc.yaml").write_text(yaml.safe_dump({"vars": [{"path": where}], "stages": {}}))
    Path("params.yaml").write_text(yaml.safe_dump(tiny_values()))
    pool = synthetic_set(50, 3, NAMES)
    pool.save(Path("data/pool"))
    shape_set(20, NAMES).save(Path("data/train"))
    scores_of(pool).to_parquet("scores.parquet")
    return pool


def pictures_of(page: str) -> list[bytes]:
    """The pixels of every picture on the page, as they stand there."""
    found = []
    for png in SHOWN.findall(page):
        with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
            found.append(np.asarray(picture)[..., None].tobytes())
    return found


def test_each_side_of_each_class_shows_a_bounded_random_choice(project: ImageSet) -> None:
    assert write_preview() == PAGE
    page = PAGE.read_text(encoding="utf-8")
    ids = {image.tobytes(): row for row, image in enumerate(np.asarray(project.images))}
    made = [ids[pixels] for pixels in pictures_of(page) if pixels in ids]
    assert len(made) == len(set(made)) == 2 * 2 * 4
    reason = scores_of(project)["reason"].to_numpy()[made]
    sides = reason.reshape(2, 2, 4) == "accepted"
    assert sides[:, 0].all()
    assert not sides[:, 1].any()
    assert (project.labels[made].reshape(2, 8) == [[0], [1]]).all()
    good = np.array(made).reshape(2, 2, 4)[:, 0]
    assert (np.diff(good) < 0).any()  # neither in order nor the best
    write_preview()
    assert PAGE.read_text(encoding="utf-8") == page


def test_real_images_of_the_class_stand_before_those_of_the_gans(project: ImageSet) -> None:
    write_preview()
    shown = np.array(pictures_of(PAGE.read_text(encoding="utf-8"))).reshape(2, 12 + 4 + 4)
    train = ImageSet.load(Path("data/train"))
    for label, row in enumerate(shown):
        real = {image.tobytes() for image in train.images[train.labels == label]}
        assert len(set(row[:12]) & real) == 12
        assert not set(row[12:]) & real


def test_a_class_with_few_real_images_shows_all_of_them(project: ImageSet) -> None:
    train = ImageSet.load(Path("data/train"))
    train.take(np.flatnonzero(train.labels == 0)[:3]).save(Path("data/train"))
    write_preview()
    page = PAGE.read_text(encoding="utf-8")
    assert len(pictures_of(page)) == 3 + 0 + 2 * (4 + 4)
    assert page.count("None.") == 1


def test_ten_classes_stay_readable_in_a_browser(project: ImageSet) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    names = [f"class {label}" for label in range(10)]
    pool = synthetic_set(20, 3, names)
    pool.save(Path("data/pool"))
    noise_set(20, names, seed=5).save(Path("data/train"))
    scores_of(pool).to_parquet("scores.parquet")
    wide, narrow = 1280, 390
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        write_preview()
        for width, most in ((wide, 7_000), (narrow, 14_000)):
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(PAGE.absolute().as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate("document.documentElement.scrollHeight") < most
            sides = [side.bounding_box() for side in page.locator(".side").all()[:3]]
            tops, lefts = ({side[edge] for side in sides if side} for edge in "yx")
            assert (len(tops), len(lefts)) == ((1, 3) if width == wide else (3, 1))
        browser.close()


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
    assert len(SHOWN.findall(page)) == 2 * (12 + 4)
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
    assert command(monkeypatch, "filter", *(["--preview"] if preview else [])) == 0
    assert asked == [Wishes(None, (), None, "quality_filter", False)]
    assert PAGE.exists() is preview
    assert (str(filter_preview.PAGE) in capsys.readouterr().out) is preview

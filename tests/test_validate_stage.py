from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.adapters.validation_pictures import picture
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.validate import ValidateParams
from tasks.validate import run
from tests.data.fake_sets import image_set, noise_set

PARAMS = ValidateParams(
    min_train_per_class=2, min_val_per_class=2, min_test_per_class=2, min_pixel_std=1.0,
    useful_train_per_class=1, useful_val_per_class=1, useful_test_per_class=1,
    max_robust_z=100.0, max_drift=0.5, max_suspect_share=0.05,
)  # fmt: skip
NASTY = ('<b>&"', "<script>alert(1)</script>")


@pytest.fixture
def line(tmp_path) -> dict[str, Path]:
    for seed, split in enumerate(("train", "val", "test")):
        noise_set(4, NASTY, seed=seed).save(tmp_path / "real" / split)
    rejects, twins = tmp_path / "ingest_rejects.csv", tmp_path / "ingest_twins.csv"
    rejects.write_text("source,class_name,reason,mend\n", encoding="utf-8")
    twins.write_text("", encoding="utf-8")
    made = {"gate": "gate", "result": "validation.json", "page": "validation.html"}
    return {
        **{split: tmp_path / "real" / split for split in ("train", "val", "test")},
        "rejects": rejects,
        "twins": twins,
        **{name: tmp_path / "reports" / file for name, file in made.items()},
    }


def darken(folder: Path, count: int) -> ImageSet:
    """Make the first images of a set blank, each of another grey, and their ids true."""
    whole = ImageSet.load(folder)
    images = np.array(whole.images)
    images[:count] = np.arange(count, dtype=np.uint8)[:, None, None, None]
    dark = image_set(images, whole.labels.tolist(), NASTY, source=whole.manifest["source"])
    dark.save(folder)
    return dark


def cards(page: Path) -> str:
    """What the page says of the expectations that failed."""
    return "".join(re.findall("<article.*?</article>", page.read_text(encoding="utf-8"), re.DOTALL))


def test_clean_sets_open_the_gate(line):
    run(**line, params=PARAMS, seed=0)
    assert line["gate"].read_bytes() == b"passed\n"
    result = json.loads(line["result"].read_text(encoding="utf-8"))
    assert result["schema"] == "ganlift/validation/2"
    assert result["success"] is True
    assert {split: counts["images"] for split, counts in result["splits"].items()} == {
        "train": 8, "val": 8, "test": 8,
    }  # fmt: skip
    assert all(counts["failed"] == 0 for counts in result["splits"].values())
    assert len(result["expectations"]) == result["checked"]
    assert "Gate open" in line["page"].read_text(encoding="utf-8")


def test_blank_images_close_the_gate_and_are_named_and_shown(line):
    line["gate"].parent.mkdir(parents=True)
    line["gate"].write_text("passed\n", encoding="utf-8")  # of an earlier run
    dark = darken(line["val"], 3)
    with pytest.raises(UserError) as error:
        run(**line, params=PARAMS, seed=0)
    message = str(error.value)
    assert "expect_column_values_to_be_between(pixel_std) on val" in message
    assert "3 of 8 images" in message
    assert dark.manifest["source"][0] in message
    assert "min_pixel_std" in message
    assert line["gate"].read_bytes() == b"refused\n"
    result = json.loads(line["result"].read_text(encoding="utf-8"))
    assert result["success"] is False
    assert result["splits"]["val"]["failed"] == 1
    (failed,) = (one for one in result["expectations"] if not one["passed"])
    assert [row["image_id"] for row in failed["rows"]] == dark.manifest["image_id"][:3].tolist()
    shown = re.findall(r'src="(data:image/png;base64,[^"]+)"', cards(line["page"]))
    assert shown == [picture(image) for image in dark.images[:3]]


def test_page_shows_24_images_and_counts_the_rest(line):
    noise_set(20, NASTY, seed=1).save(line["val"])
    darken(line["val"], 30)
    with pytest.raises(UserError):
        run(**line, params=PARAMS, seed=0)
    told = cards(line["page"])
    assert told.count("data:image/png") == 24
    assert "and 6 more" in told


def test_page_escapes_names_and_needs_no_network(line):
    whole = ImageSet.load(line["val"])
    whole.manifest["source"] = "<img src=x onerror=alert(2)>"
    whole.save(line["val"])
    darken(line["val"], 1)
    with pytest.raises(UserError):
        run(**line, params=PARAMS, seed=0)
    page = line["page"].read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "&lt;b&gt;&amp;" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    bare = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "data:", page)
    assert not re.search(r'(src|href)="(?!data:)|url\(|@import|//', bare)


def test_same_inputs_give_the_same_bytes(line, tmp_path):
    darken(line["val"], 2)
    outputs = []
    for attempt in ("first", "second"):
        made = {name: tmp_path / attempt / name for name in ("gate", "result")}
        with pytest.raises(UserError):
            run(**(line | made), params=PARAMS, seed=0)
        outputs.append((made["result"].read_bytes(), line["page"].read_bytes()))
    assert outputs[0] == outputs[1]
    assert str(tmp_path).encode() not in outputs[0][0] + outputs[0][1]


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 6, 3), (300, 200, 3)])
def test_picture_keeps_the_pixels_of_small_images(shape):
    image = noise_set(1, shape=shape).images[0]
    data = base64.b64decode(picture(image).removeprefix("data:image/png;base64,"))
    drawn = np.asarray(Image.open(io.BytesIO(data)))
    assert max(drawn.shape[:2]) == 96
    if shape[0] == 8:
        assert np.array_equal(drawn[6::12, 6::12].reshape(shape), image)

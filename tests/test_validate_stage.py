from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.adapters.validation_pictures import picture
from tasks.contracts.errors import UserError
from tasks.contracts.image_set import ImageSet
from tasks.contracts.params.validate import ValidateParams
from tasks.data.last_validated import FILE
from tasks.validate import run
from tests.data.fake_sets import image_set, noise_set, related

PARAMS = ValidateParams(
    min_train_per_class=2, min_val_per_class=2, min_test_per_class=2, min_pixel_std=1.0,
    useful_train_per_class=1, useful_val_per_class=1, useful_test_per_class=1,
    max_robust_z=100.0, max_drift=0.5, max_suspect_share=0.05,
)  # fmt: skip
SETS = ("train", "val", "test", "other_domain", "related")
NASTY = ('<b>&"', "<script>alert(1)</script>")


@pytest.fixture
def line(tmp_path, monkeypatch) -> dict[str, Path]:
    monkeypatch.chdir(tmp_path)
    for seed, split in enumerate(("train", "val", "test")):
        noise_set(4, NASTY, seed=seed).save(tmp_path / "real" / split)
    for name in ("other_domain", "related"):
        noise_set(0, NASTY).save(tmp_path / "real" / name)
    rejects, twins = tmp_path / "ingest_rejects.csv", tmp_path / "ingest_twins.csv"
    rejects.write_text("source,class_name,reason,mend\n", encoding="utf-8")
    twins.write_text("", encoding="utf-8")
    made = {"gate": "gate", "result": "validation.json", "page": "validation.html"}
    return {
        **{name: tmp_path / "real" / name for name in SETS},
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


def test_clean_sets_open_the_gate(line, capsys):
    darker = pd.DataFrame(
        {"class_name": [NASTY[0]] * 200, "group": range(200), "image_size": 8}
        | dict.fromkeys(("brightness", "pixel_std", "sharpness"), 40.0)
    )
    Path(".ganlift").mkdir()
    darker.to_parquet(FILE, index=False)
    run(**line, params=PARAMS.model_copy(update={"max_drift": 0.0}), seed=0)
    assert "warning: brightness of real/train differs from" in capsys.readouterr().out
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


@pytest.mark.parametrize(
    ("name", "split", "images_of", "made"),
    [
        ("other_domain", "other domain", "the other domain", lambda images: images),
        ("related", "related classes", "related classes", related),
    ],
)
def test_images_beside_are_checked_and_shown_apart(line, name, split, images_of, made):
    run(**line, params=PARAMS, seed=0)
    without = json.loads(line["result"].read_text(encoding="utf-8"))["checked"]
    assert split not in line["page"].read_text(encoding="utf-8")
    made(noise_set(4, NASTY, seed=9)).save(line[name])
    run(**line, params=PARAMS, seed=0)
    result = json.loads(line["result"].read_text(encoding="utf-8"))
    own = [one for one in result["expectations"] if one["split"] == split]
    assert result["success"]
    assert len(own) == result["checked"] - without > 10
    page = line["page"].read_text(encoding="utf-8")
    assert f"8 images of {images_of}" in page
    assert "<script>alert" not in page
    across, beside = page.split("checked across all sets")[1].split("checked in the images of")
    assert across.count("expect_") == len(
        [one for one in result["expectations"] if one["split"] == "all splits"]
    )
    assert beside.startswith(f" {images_of}")
    assert beside.count("expect_") == len(own)
    made(ImageSet.load(line["test"]).take([0])).save(line[name])
    with pytest.raises(UserError, match="in two splits"):
        run(**line, params=PARAMS, seed=0)


def test_a_blank_image_of_another_domain_closes_the_gate(line):
    noise_set(4, NASTY, seed=9).save(line["other_domain"])
    darken(line["other_domain"], 3)
    with pytest.raises(UserError, match="other domain"):
        run(**line, params=PARAMS, seed=0)
    assert cards(line["page"]).count("<img") == 3


def test_warnings_are_told_and_leave_the_gate_open(line, capsys):
    params = PARAMS.model_copy(update={"useful_test_per_class": 50})
    run(**line, params=params, seed=0)
    assert line["gate"].read_bytes() == b"passed\n"
    result = json.loads(line["result"].read_text(encoding="utf-8"))
    assert (result["success"], result["failed"], result["warned"]) == (True, 0, 1)
    assert result["splits"]["test"]["warned"] == 1
    (told,) = (one for one in result["expectations"] if not one["passed"])
    assert told["severity"] == "warn"
    assert "warning on test" in capsys.readouterr().out.splitlines()[-1]
    page = line["page"].read_text(encoding="utf-8")
    assert "Gate open, with 1 warning" in page
    assert "Gate closed" not in page
    assert "±49 percentage points" in " ".join(page.split())


def test_refusal_names_what_stops_and_no_warning(line):
    darken(line["val"], 3)
    params = PARAMS.model_copy(update={"useful_train_per_class": 50})
    with pytest.raises(UserError) as error:
        run(**line, params=params, seed=0)
    assert "pixel_std" in str(error.value)
    assert "more failed" not in str(error.value)


def test_page_says_whether_groups_were_given(line):
    run(**line, params=PARAMS, seed=0)
    assert "No groups were given" in line["page"].read_text(encoding="utf-8")
    train = ImageSet.load(line["train"])
    train.manifest["group"] = "patient 1"
    ImageSet(np.array(train.images), train.manifest).save(line["train"])
    run(**line, params=PARAMS, seed=0)
    page = line["page"].read_text(encoding="utf-8")
    assert "No groups were given" not in page
    assert "No group is in two splits" in page


def test_page_shows_classes_sizes_twins_and_files_left_out(line):
    train = ImageSet.load(line["train"])
    train.manifest["original_width"], train.manifest["original_height"] = 100, [100] * 7 + [25]
    train.manifest["source"] = [f"{number}.png" for number in range(8)]
    train = ImageSet(np.array(train.images), train.manifest)
    train.save(line["train"])
    line["twins"].write_text(
        "source_a,source_b,class_a,class_b,correlation\n"
        "0.png,7.png,<b>,<i>,0.97\n1.png,gone.png,<b>,<b>,0.99\n",
        encoding="utf-8",
    )
    line["rejects"].write_text(
        "source,class_name,reason,mend\na,,it is <b>no image,x\nb,,it is <b>no image,x\n",
        encoding="utf-8",
    )
    run(**line, params=PARAMS, seed=0)
    page = line["page"].read_text(encoding="utf-8")
    words = " ".join(re.sub("<[^>]*>", " ", page).split())
    assert all(picture(image, 64) in page for image in train.images)
    assert "train 100×25 100×100 100×100 0 % 75 %" in words
    assert all(picture(train.images[row]) in page for row in (0, 7))
    assert "correlation 0.97; their labels differ" in page
    assert "gone.png" not in page
    assert "it is &lt;b&gt;no image 2" in words
    assert json.loads(line["result"].read_text(encoding="utf-8"))["twin_pairs"] == 2


@pytest.mark.parametrize("wrong", [0, 10])
def test_what_is_left_to_gain_is_told_where_that_is_little(wrong, line, capsys):
    """The probe names every image but those that carry a wrong label."""
    for seed, split in enumerate(("train", "val", "test")):
        whole = noise_set(200, NASTY, seed=10 + seed)
        images = whole.images // 4 + (whole.labels * 128).astype(np.uint8)[:, None, None, None]
        labels = whole.labels
        labels[:wrong] = 1
        image_set(images, labels.tolist(), NASTY, source=f"{split}.png").save(line[split])
    run(**line, params=PARAMS, seed=0)
    for said in (capsys.readouterr().out, line["page"].read_text(encoding="utf-8")):
        assert ("hardly more than 0.0 points are left for GAN images" in said) is (wrong == 0)


def test_wrong_labels_are_shown_and_test_is_not_judged(line):
    for seed, split in enumerate(("train", "val", "test")):
        whole = noise_set(40, NASTY, seed=10 + seed)
        images = whole.images // 4 + (whole.labels * 128).astype(np.uint8)[:, None, None, None]
        wrong = whole.labels
        wrong[0] = 1
        image_set(images, wrong.tolist(), NASTY, source=f"{split}.png").save(line[split])
    run(**line, params=PARAMS, seed=0)
    told = json.loads(line["result"].read_text(encoding="utf-8"))["labels"]
    assert told["judged"]
    assert sorted((row["split"], row["row"], row["suggested"]) for row in told["rows"]) == [
        ("train", 0, NASTY[0]), ("val", 0, NASTY[0]),
    ]  # fmt: skip
    page = line["page"].read_text(encoding="utf-8")
    assert "2 of the training and validation images look like" in " ".join(page.split())
    assert "<b>&" not in page


def test_a_class_of_a_hundred_has_pictures_and_the_page_stays_small(line):
    names = [f"class {number:02d}" for number in range(100)]
    for seed, split in enumerate(("train", "val", "test")):
        noise_set(3, names, seed=seed, shape=(32, 32, 3)).save(line[split])
    run(**line, params=PARAMS, seed=0)
    page = line["page"].read_text(encoding="utf-8")
    assert page.count("data:image/png") == 200
    assert len(page) < 3_000_000


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

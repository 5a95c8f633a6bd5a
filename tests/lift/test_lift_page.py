from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tasks.lift.drawing import drawable, spread_out
from tasks.lift.evidence import draw_real_beside_synthetic
from tasks.lift.page import number_line, what_would_change
from tests.lift.fake_inputs import fake_merged


def result(mean, low, high, verdict="inconclusive", runs=0.5, images=0.2):
    return {
        "verdict": verdict,
        "lift_pp": {"mean": mean, "ci_low": low, "ci_high": high},
        "noise_pp": {"runs": runs, "images": images},
        "rule": {"smallest_lift_pp": 0.5},
    }


@pytest.mark.parametrize(("mean", "low", "high"), [(2, 1, 3), (-40, -60, -20), (0, 0, 0)])
def test_number_line_keeps_order_and_stays_inside(mean, low, high):
    line = number_line(result(mean, low, high))
    places = [line["low"], line["mean"], line["low"] + line["width"]]
    assert places == sorted(places)
    assert line["band"] < line["zero"] < line["band"] + line["band_width"]
    assert all(0 <= place <= 100 for place in (*places, *(tick for tick, _ in line["ticks"])))
    assert (line["mean"] > line["zero"]) == (mean > 0)


def test_what_would_change_names_the_larger_noise_and_the_way_out():
    runs, images = (
        what_would_change(result(1, -1, 3, runs=r, images=i))[0] for r, i in ((2, 1), (1, 2))
    )
    assert runs.startswith("80 % of the uncertainty comes from the draw of GANs")
    assert images.startswith("80 % of the uncertainty comes from the draw of test images")
    assert "about 4.0 times as much evidence" in what_would_change(result(1, -1, 3))[1]
    assert "better GAN" in what_would_change(result(0.1, -1, 1.2))[1]
    assert "1.0 points clear of 0" in what_would_change(result(-2, -3, -1, "hurts"))[1]


def test_names_fit_the_pictures():
    assert drawable("a\nb", 0) == "a b"
    assert drawable("$x_{", 0) == "$x_{"
    assert drawable("猫", 4) == "class 4"
    assert drawable(" ", 2) == "class 2"
    assert len(drawable("long " * 20, 0)) <= 26


def test_selection_of_classes_keeps_both_ends():
    assert spread_out(5, 12) == [0, 1, 2, 3, 4]
    chosen = spread_out(100, 12)
    assert (chosen[0], chosen[-1], len(set(chosen))) == (0, 99, 12)


@pytest.mark.parametrize("size", [8, 256])
def test_real_images_stand_left_of_synthetic_ones(tmp_path, size):
    merged = fake_merged(["a", "b"], [9, 9], gans=1, size=size)
    bright = np.where(merged.manifest["origin"] == "real", 210, 40).astype(np.uint8)
    images = np.broadcast_to(bright[:, None, None, None], merged.images.shape)
    draw_real_beside_synthetic(type(merged)(images, merged.manifest), tmp_path / "grid.png", 0)
    pixels = np.asarray(Image.open(tmp_path / "grid.png").convert("L"))
    real, synthetic = (np.argwhere(pixels == grey)[:, 1] for grey in (210, 40))
    assert len(real) > 5000
    # the letters around hold a few such grey pixels too
    assert np.percentile(real, 98) < np.percentile(synthetic, 2)

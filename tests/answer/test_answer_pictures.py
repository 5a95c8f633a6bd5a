from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from tasks.answer.drawing import (
    BLACK,
    BLUE,
    LINES,
    ORANGE,
    VERMILION,
    drawable,
    metric_title,
    scale_of,
    spread_out,
)
from tasks.answer.evidence import draw_filter_reasons, draw_real_beside_synthetic, draw_reliability
from tasks.answer.pictures import draw_lift_by_arm, draw_per_class_lift, draw_real_curve
from tasks.answer.settling import draw_settling, settling_table
from tests.answer.fake_report import altered, count_reasons, fake_lift, fake_pool, fake_reliability
from tests.lift.fake_inputs import fake_merged


def pixels(path, colour):
    """Rows and columns of the pixels of one colour ``[N, 2]``."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    wanted = np.round(255 * np.array(mpl.colors.to_rgb(colour))).astype(int)
    return np.argwhere(np.abs(picture - wanted).max(axis=2) <= 1)


@pytest.mark.parametrize(("metric", "better"), [("balanced_accuracy", 1), ("log_loss", -1)])
def test_treatment_beyond_the_curve_lies_on_its_better_side(tmp_path, metric, better):
    lift = fake_lift(metric=metric)
    ends = [end for point in lift.worth.curve for end in (point.ci_low, point.ci_high)]
    best = max(better * end for end in ends) + 0.02
    mean = better * best
    reached = {"mean": mean, "ci_low": mean - 0.001, "ci_high": mean + 0.001}
    beyond = {"real_images": None, "low": None, "beyond": "above", "reached": reached}
    lift = altered(lift, worth=beyond)
    draw_real_curve(lift, lift.worth, tmp_path / "curve.png")
    level = np.median(pixels(tmp_path / "curve.png", BLUE)[:, 0])
    curve = pixels(tmp_path / "curve.png", ORANGE)
    inside = curve[curve[:, 0] < 0.8 * 4.2 * 160, 0]  # the legend stands below
    assert (inside > level).all() if better > 0 else (inside < level).all()


def test_crossing_is_marked_where_the_treatment_meets_the_curve(tmp_path):
    columns = []
    for images in (100, 200, 350):
        crossing = {"real_images": images, "low": images - 10, "high": images + 10}
        lift = altered(fake_lift(), worth=crossing)
        draw_real_curve(lift, lift.worth, tmp_path / "curve.png")
        lift = altered(lift, worth={"real_images": None, "beyond": "above"})
        draw_real_curve(lift, lift.worth, tmp_path / "bare.png")
        marked, bare = (
            np.asarray(Image.open(tmp_path / f"{name}.png").convert("L")).astype(int)
            for name in ("curve", "bare")
        )
        changed = np.argwhere(np.abs(marked - bare) > 60)
        columns.append(np.bincount(changed[:, 1]).argmax())
    assert columns == sorted(columns)
    # 100 to 200 is log(2), 200 to 350 log(1.75)
    steps = np.diff(columns)
    assert steps[0] / steps[1] == pytest.approx(np.log(2) / np.log(1.75), rel=0.08)


def test_the_curve_is_drawn_as_it_was_made_to_rise(tmp_path):
    lift = fake_lift()
    points = [dict(point) for point in lift.worth.curve]
    points[0]["rising"] = points[0]["mean"] + 0.05
    draw_real_curve(lift, lift.worth, tmp_path / "as_it_is.png")
    risen = altered(lift, worth={"curve": points})
    draw_real_curve(risen, risen.worth, tmp_path / "risen.png")
    lines = [pixels(tmp_path / f"{name}.png", ORANGE) for name in ("as_it_is", "risen")]
    assert len(lines[0]) != len(lines[1])


def test_the_settling_marks_the_chosen_training_and_draws_a_line_a_recipe(tmp_path):
    found = fake_lift().classifier
    draw_settling(found, tmp_path / "settling.png")
    for number in range(4):
        assert len(pixels(tmp_path / "settling.png", LINES[number])) > 200
    assert not len(pixels(tmp_path / "settling.png", LINES[4]))
    rings = []
    for place in (-2, -1):  # the ring moves with the steps
        rows = [row.model_dump() | {"chosen": False} for row in found.settling]
        rows[place]["chosen"] = True
        moved = altered(fake_lift(), classifier={"settling": rows}).classifier
        draw_settling(moved, tmp_path / "settling.png")
        ring = pixels(tmp_path / "settling.png", BLACK)
        rings.append(np.median(ring[ring[:, 0] < 0.7 * 4.2 * 160, 1]))
    assert rings[0] < rings[1]


def test_a_training_that_diverged_leaves_no_point_and_no_error(tmp_path):
    rows = [row.model_dump() for row in fake_lift().classifier.settling]
    broken = {"val_balanced_accuracy": None, "standard_error": None}
    alone = altered(
        fake_lift(),
        classifier={"settling": [rows[-2] | {"standard_error": None}, rows[0] | broken]},
    ).classifier
    draw_settling(alone, tmp_path / "settling.png")
    assert list(settling_table(alone)["val_balanced_accuracy"].isna()) == [False, True]
    empty = altered(fake_lift(), classifier={"settling": []}).classifier
    assert list(settling_table(empty).columns)[:2] == ["recipe", "steps"]


def test_a_reason_keeps_its_colour_and_is_drawn_where_it_occurs(tmp_path):
    names = ["a", "b"]
    table = count_reasons(fake_pool(names)[1], names)
    shown = {}
    for reason in ("copy", "other label", "low confidence"):
        alone = table.assign(count=table["reason"].eq(reason) * 9)
        draw_filter_reasons(alone, names, tmp_path / "alone.png")
        shown[reason] = [len(pixels(tmp_path / "alone.png", c)) for c in (VERMILION, BLUE, ORANGE)]
    draw_filter_reasons(table, names, tmp_path / "all.png")
    assert len(pixels(tmp_path / "all.png", BLUE)) > 1000
    drawn = np.array(list(shown.values()))
    assert (np.diag(drawn) > 50_000).all()
    assert drawn.sum() == np.diag(drawn).sum()


def test_reliability_takes_any_number_of_gans(tmp_path):
    for gans in (1, 9):
        draw_reliability(fake_reliability(gans), tmp_path / f"{gans}.png")
    counts = [len(pixels(tmp_path / f"{gans}.png", VERMILION)) for gans in (1, 9)]
    assert counts[0] == 0 < counts[1]


@pytest.mark.parametrize("metric", ["log_loss", "recall:日本"])
def test_pictures_take_any_metric(tmp_path, metric):
    lift = fake_lift(["日本", "b"], metric=metric, metric_name=f"recall of ‘{metric}’")
    draw_lift_by_arm(lift, tmp_path / "arms.png")
    draw_per_class_lift(lift, tmp_path / "classes.png")
    draw_real_curve(lift, lift.worth, tmp_path / "curve.png")


def test_titles_and_scales():
    assert metric_title("macro F1") == "Macro F1"
    assert metric_title("recall of ‘日本’") == "Primary metric"
    assert metric_title("recall of ‘" + "x" * 80) == "Primary metric"
    assert scale_of("log_loss")[0] == 1.0
    assert scale_of("recall:dog") == (100.0, "%")


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
    shown = np.asarray(Image.open(tmp_path / "grid.png").convert("L"))
    real, synthetic = (np.argwhere(shown == grey)[:, 1] for grey in (210, 40))
    assert len(real) > 5000
    # the letters around hold a few such grey pixels too
    assert np.percentile(real, 98) < np.percentile(synthetic, 2)

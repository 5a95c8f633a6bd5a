from __future__ import annotations

import re

import pandas as pd
import pytest
from PIL import Image

from tasks.contracts.arms import (
    ARMS,
    CLASSICAL,
    FILTERED,
    MIXUP,
    PSEUDO_LABELLED,
    REAL,
    SYNTHETIC_ONLY,
    fraction_arm,
)
from tasks.lift.outlook import more_images, what_it_is_worth, what_would_change
from tasks.lift.page import exposure_of, render_page
from tasks.lift.rails import arm_rails, number_line
from tests.lift.fake_report import fake_evidence, fake_lift

PICTURES = (
    "lift_by_arm",
    "real_curve",
    "per_class_lift",
    "real_beside_synthetic",
    "filter_reasons",
    "gan_curves",
    "reliability",
)


@pytest.fixture
def pictures(tmp_path):
    for name in PICTURES:
        Image.new("L", (2, 2)).save(tmp_path / f"{name}.png")
    return tmp_path


def page_of(lift, pictures, **changes):
    evidence = fake_evidence(list(lift["per_class"]), gans=lift["counts"]["gan_seeds"])
    for name, value in changes.items():
        object.__setattr__(evidence, name, value)
    return render_page(lift, evidence, pictures)


def rows(page, table):
    body = page[page.index(f'<table id="{table}">') :].partition("</table>")[0]
    return [re.sub(r"<[^>]+>", "", row) for row in body.split("<tr")[2:]]


@pytest.mark.parametrize(("mean", "half"), [(2, 1), (-40, 20), (0, 0)])
def test_number_line_keeps_order_and_stays_inside(mean, half):
    line = number_line(fake_lift(mean=mean, half=half))
    places = [line["low"], line["mean"], line["low"] + line["width"]]
    assert places == sorted(places)
    assert line["band"] < line["zero"] < line["band"] + line["band_width"]
    assert all(0 <= place <= 100 for place in (*places, *(tick for tick, _ in line["ticks"])))
    assert (line["mean"] > line["zero"]) == (mean > 0)


def test_rails_share_one_scale_and_point_to_what_lies_beyond():
    lift = fake_lift()
    rails = arm_rails(lift)
    assert set(rails) == set(ARMS) - {lift["baseline"]}
    assert len({rail["zero"] for rail in rails.values()}) == 1
    inside = sorted((rail["mean"], arm) for arm, rail in rails.items() if not rail["beyond"])
    by_lift = sorted((lift["arm_lift_pp"][arm]["mean"], arm) for _, arm in inside)
    assert [arm for _, arm in inside] == [arm for _, arm in by_lift]
    assert rails[SYNTHETIC_ONLY]["beyond"] == -1
    assert all(0 <= rail["low"] <= rail["low"] + rail["width"] <= 100 for rail in rails.values())


def test_what_would_change_names_the_way_out():
    open_ = what_would_change(fake_lift(mean=0.6, half=0.9))
    assert "6 GANs in place of 4, or 2400 test images in place of 800" in open_[0]
    stuck = fake_lift(mean=0.6, half=0.9) | {"settle": dict.fromkeys(("gans", "seeds"))}
    assert "would not settle it" in what_would_change(stuck)[0]
    assert "better GAN" in what_would_change(fake_lift(mean=0.1, half=1))[0]
    assert "1.0 points clear of 0" in what_would_change(fake_lift(mean=-2, half=1))[0]
    assert "a true lift of 1.1 points would have been found in 80 %" in open_[1]


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        ({"runs": 2, "images": 1}, "About 80 % of the uncertainty comes from the draw of GANs"),
        ({"runs": 1, "images": 2}, "About 80 % of the uncertainty comes from the draw of test"),
        ({"runs": 2, "images": 0}, "Nearly all of the uncertainty comes from the draw of GANs"),
    ],
)
def test_what_would_change_names_the_larger_noise(noise, said):
    assert any(one.startswith(said) for one in what_would_change(fake_lift() | {"noise_pp": noise}))


@pytest.mark.parametrize(
    ("mean", "said"),
    [
        (1.2, "Real images would help: 400 real images in place of 200, with classical "
              "augmentation, are a lift of +1.2 points (+0.5 to +1.9) over "),
        (0.4, "Whether more images of any kind would help is open: 400"),
        (-0.4, "Not even real images would help: 400"),
    ],
)  # fmt: skip
def test_what_would_change_tells_what_real_images_bring(mean, said):
    points = {"mean": mean, "ci_low": mean - 0.7, "ci_high": mean + 0.7}
    lift = fake_lift() | {"more_real": {"real_images": 400, "lift_pp": points}}
    assert any(one.startswith(said) for one in what_would_change(lift))
    none = what_would_change(lift | {"more_real": None})
    assert not any("in place of 200, with" in one for one in none)


@pytest.mark.parametrize(
    ("pseudo", "added", "said"),
    [(1800, 200, True), (1800, 1000, False), (0, 20, False)],
)
def test_what_would_change_tells_when_little_of_what_gans_learned_is_added(pseudo, added, said):
    lift = fake_lift()
    assert lift["counts"]["train"] == 200
    gans = {seed: gan | {"pseudo_labelled": pseudo} for seed, gan in lift["gans"].items()}
    counts = lift["counts"] | {"synthetic": dict.fromkeys(gans, added)}
    told = " ".join(what_would_change(lift | {"gans": gans, "counts": counts}))
    assert ("learned from 2000 images, 1800 of them pseudo-labelled" in told) == said
    assert ("merge.synthetic_per_real=10 would add" in told) == said


@pytest.mark.parametrize(("gans", "warned"), [(1, True), (4, False)])
def test_luck_of_a_single_gan_is_named(gans, warned, pictures):
    lift = fake_lift(gans=gans)
    assert any("Only one GAN was trained" in one for one in what_would_change(lift)) == warned
    assert ("its luck is not in the interval" in page_of(lift, pictures)) == warned


@pytest.mark.parametrize(
    ("found", "sentence", "more"),
    [
        ({}, "About 140 more real images", ("+140", "+40 to over +200")),
        ({"real_images": 90, "low": None, "high": 130}, "They do better without it.",
         ("−110", "below −150 to −70")),
        ({"real_images": 190, "low": 120, "high": None}, "so it may be worth nothing",
         ("−10", "−80 to over +200")),
        ({"real_images": None, "low": 300, "beyond": "above"}, "does better than 400 real images",
         ("> +200", "the curve ends there")),
        ({"real_images": None, "low": None, "beyond": "below"}, "50 real images with classical",
         ("< −150", "the curve ends there")),
    ],
)  # fmt: skip
def test_worth_is_told_inside_the_curve_and_beyond_it(found, sentence, more):
    lift = fake_lift()
    lift["worth"] |= found
    assert sentence in what_it_is_worth(lift)
    assert more_images(lift) == more


def test_without_a_curve_nothing_is_said_of_worth(pictures):
    lift = fake_lift(arms=ARMS)
    assert what_it_is_worth(lift) is None
    assert more_images(lift) is None
    assert "What it is worth" not in page_of(lift, pictures)


def test_arms_have_a_row_and_fractions_only_their_curve(pictures):
    lift = fake_lift()
    page = page_of(lift, pictures)
    arms = rows(page, "arms")
    assert len(arms) == len(ARMS)
    assert not any(fraction_arm(0.5) in row for row in arms)
    assert any(fraction_arm(0.5) in row for row in rows(page, "protocol"))
    (baseline,) = (row for row in arms if "baseline" in row)
    assert MIXUP in baseline
    assert "strongest without GAN images on real/val" in baseline
    assert page.count('class="main"') == page.count('class="base"') == 1
    assert len(rows(page, "comparisons")) == len(lift["comparisons"])
    assert len(rows(page, "mcnemar")) == 8


def test_a_declared_baseline_is_not_called_the_strongest(pictures):
    lift = fake_lift()
    lift["baseline_choice"]["rule"] = "declared"
    page = page_of(lift, pictures)
    assert "declared in params.yaml" in page
    assert "strongest" not in page


def test_log_loss_is_told_in_its_own_unit(pictures):
    lift = fake_lift(metric="log_loss", metric_name="log loss", mean=-1.2, half=0.5)
    page = page_of(lift, pictures)
    assert "hundredths of a nat of log loss, + is better" in page
    (real,) = (row for row in rows(page, "arms") if "real images as they are" in row)
    mean = lift["arms"][REAL]["log_loss"]["mean"]
    assert f"{mean:.3f} ±" in real
    assert f"{100 * mean:.1f}" not in real
    for place in ("title", "p"):
        assert not re.search(rf"<{place}[^>]*>[^<]*percentage points", page)


def test_no_text_from_data_becomes_markup(pictures):
    evil = '<script src="//x.test">'
    lift = fake_lift([evil, "b"], metric=f"recall:{evil}", metric_name=f"recall of ‘{evil}’")
    evidence = fake_evidence([evil, "b"])
    page = page_of(
        lift,
        pictures,
        retrain=dict(evidence.retrain) | {"left_out": {evil: evil}, "weights": evil},
        ingest=dict(evidence.ingest) | {"dataset": evil},
        filter=dict(evidence.filter)
        | {"tuned": {"tried": 3, "chosen": {evil: evil}, "val_balanced_accuracy": 0.9}},
        versions={evil: evil},
    )
    assert "<script" not in page
    assert page.count("&lt;script src=&#34;//x.test&#34;&gt;") > 20
    assert set(re.findall(r'\b(?:src|href)="([^"]{0,22})', page)) == {"data:image/png;base64,"}


def test_images_of_the_funnel_stand_beside_their_rule(pictures):
    lift = fake_lift()
    evidence = fake_evidence()
    page = page_of(lift, pictures, funnel=evidence.funnel)
    assert page.count('<div class="strip">') == sum(bool(step.examples) for step in evidence.funnel)
    for step in evidence.funnel:
        assert all(example.png in page for example in step.examples)


@pytest.mark.parametrize("ran", [True, False])
def test_unlabelled_images_are_told_apart_where_their_arm_ran(ran, pictures):
    arms = ARMS if ran else (REAL, CLASSICAL, FILTERED)
    gans = dict(fake_evidence().gans)
    gans["1"] = gans["1"] | {"pseudo_labelled": 57}
    page = page_of(fake_lift(arms=arms), pictures, gans=gans)
    assert "57 unlabelled images" in page
    alert = page[page.index("57 unlabelled") :].partition("</p>")[0]
    assert ("trains on the same images without a GAN" in alert) is True
    assert alert.count("No arm") == (0 if ran else 1)
    assert (PSEUDO_LABELLED.rpartition("+")[2] in alert) == ran


def test_exposure_is_what_the_runs_counted():
    runs = pd.DataFrame(
        {
            "arm": ["b", "a", "b", "a"],
            "steps": [30, 30, 30, 30],
            "real_seen": [960, 960, 960, 960],
            "added_seen": [400, 0, 500, 0],
        }
    )
    assert exposure_of(runs) == {
        "b": {"steps": 30, "real_seen": 960, "added_seen": 450},
        "a": {"steps": 30, "real_seen": 960, "added_seen": 0},
    }

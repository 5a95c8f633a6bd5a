from __future__ import annotations

import re

import pandas as pd
import pytest
from PIL import Image

from tasks.answer.page import Rail, arm_rails, exposure_of, render_page
from tasks.answer.words import bounds, interval
from tasks.contracts.arms import (
    ADAPTED,
    AFTER_OTHER_DOMAIN,
    DISTILLED,
    FILTERED,
    OTHER_DOMAIN,
    PASTED,
    PSEUDO_LABELLED,
    REAL,
    REPEATED,
    SYNTHETIC_ONLY,
    fraction_arm,
)
from tasks.lift.parts import Pretraining
from tests.answer.fake_report import USUAL, altered, fake_evidence, fake_lift

PICTURES = (
    "confusion",
    "lift_by_arm",
    "real_curve",
    "per_class_lift",
    "real_beside_synthetic",
    "filter_reasons",
    "gan_curves",
    "reliability",
    "settling",
)


@pytest.fixture
def pictures(tmp_path):
    for name in PICTURES:
        Image.new("L", (2, 2)).save(tmp_path / f"{name}.png")
    return tmp_path


def page_of(lift, pictures, **changes):
    evidence = fake_evidence(list(lift.per_class), gans=lift.counts.gan_seeds)
    for name, value in changes.items():
        object.__setattr__(evidence, name, value)
    return render_page(lift, evidence, pictures)


def rows(page, table):
    body = page[page.index(f'<table id="{table}">') :].partition("</table>")[0]
    return [re.sub(r"<[^>]+>", "", row) for row in body.split("<tr")[2:]]


@pytest.mark.parametrize(("mean", "half"), [(2, 1), (-40, 20), (0, 0)])
def test_number_line_keeps_order_and_stays_inside(mean, half):
    lift = fake_lift(mean=mean, half=half).lift_pp
    (rail,) = Rail.around([lift], 0.5)
    places = [rail.place(value) for value in (lift.ci_low, lift.mean, lift.ci_high)]
    assert places == sorted(places)
    assert rail.place(-0.5) < rail.place(0) < rail.place(0.5)
    assert all(0 <= place <= 100 for place in (*places, *(tick for tick, _ in rail.ticks)))
    assert (places[1] > rail.place(0)) == (mean > 0)


def test_rails_share_one_scale_and_point_to_what_lies_beyond():
    lift = fake_lift()
    rails = arm_rails(lift)
    assert set(rails) == set(USUAL) - {lift.baseline}
    assert len({rail.place(0) for rail in rails.values()}) == 1
    inside = sorted((r.place(r.lift.mean), arm) for arm, r in rails.items() if not r.beyond)
    by_lift = sorted((lift.arm_lift_pp[arm].mean, arm) for _, arm in inside)
    assert [arm for _, arm in inside] == [arm for _, arm in by_lift]
    assert rails[SYNTHETIC_ONLY].beyond == -1
    for rail in rails.values():
        assert 0 <= rail.place(rail.lift.ci_low) <= rail.place(rail.lift.ci_high) <= 100


@pytest.mark.parametrize(("gans", "warned"), [(1, True), (4, False)])
def test_luck_of_a_single_gan_is_named(gans, warned, pictures):
    page = page_of(fake_lift(gans=gans), pictures)
    assert ("Only one GAN was trained" in page) == warned
    assert ("one GAN, whose luck the interval does not cover" in page) == warned


def test_without_a_curve_nothing_is_said_of_worth(pictures):
    assert "What it is worth" not in page_of(fake_lift(arms=USUAL), pictures)


def test_arms_have_a_row_and_fractions_only_their_curve(pictures):
    lift = fake_lift()
    page = page_of(lift, pictures)
    arms = rows(page, "arms")
    assert len(arms) == len(USUAL) + 2  # and what is reached without looking at an image
    assert "guessing" in arms[-2]
    assert "always answering ‘0’" in arms[-1]
    assert not any(fraction_arm(0.5) in row for row in arms)
    assert any(fraction_arm(0.5) in row for row in rows(page, "protocol"))
    (baseline,) = (row for row in arms if "baseline" in row)
    assert REPEATED in baseline
    assert "strongest without GAN images on real/val" in baseline
    assert page.count('class="main"') == page.count('class="base"') == 1
    assert len(rows(page, "comparisons")) == len(lift.comparisons)
    assert len(rows(page, "mcnemar")) == 8


def test_a_declared_baseline_is_not_called_the_strongest(pictures):
    page = page_of(altered(fake_lift(), baseline_choice={"rule": "declared"}), pictures)
    assert "declared in params.yaml" in page
    assert "strongest" not in page


def test_log_loss_is_told_in_its_own_unit(pictures):
    lift = fake_lift(metric="log_loss", metric_name="log loss", mean=-1.2, half=0.5)
    page = page_of(lift, pictures)
    assert "hundredths of a nat of log loss; positive is better" in page
    (real,) = (row for row in rows(page, "arms") if "the real images alone" in row)
    mean = lift.arms[REAL]["log_loss"].mean
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
    arms = USUAL if ran else (REAL, REPEATED, FILTERED)
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
            "real_seen": [960, 960, 960, 960],
            "added_seen": [400, 0, 500, 0],
        }
    )
    assert exposure_of(runs) == {
        "b": {"real_seen": 960, "added_seen": 450},
        "a": {"real_seen": 960, "added_seen": 0},
    }


def test_arms_left_out_for_one_reason_are_told_together(pictures):
    gone = {"real+a": "there is none", "real+b": "too few", "real+c": "there is none"}
    told = page_of(
        fake_lift(), pictures, retrain=dict(fake_evidence().retrain) | {"left_out": gone}
    )
    assert "<strong>real+a</strong>, <strong>real+c</strong>: there is none." in told
    assert told.count("Left out:") == 2


def test_what_comes_after_another_domain_is_said_where_there_is_such_an_arm(pictures):
    told = "‘real after other domain’ always sees it before them"
    assert told not in page_of(fake_lift(), pictures)
    assert told in page_of(fake_lift(arms=(*USUAL, AFTER_OTHER_DOMAIN)), pictures)


def test_what_else_sets_an_arm_apart_is_said_where_there_is_such_an_arm(pictures):
    plain = page_of(fake_lift(), pictures)
    assert "They differ in nothing else." in plain
    assert "repeated, unfiltered and filtered images are as many" in plain
    adapted = page_of(fake_lift(arms=(*USUAL, OTHER_DOMAIN, ADAPTED)), pictures)
    said = "They differ in nothing else, but that ‘real+other domain, adapted’ takes the statistics"
    assert said in adapted
    both = page_of(fake_lift(arms=(*USUAL, PASTED, DISTILLED)), pictures)
    assert "repeated, pasted, distilled, unfiltered and filtered images are as many" in both


@pytest.mark.parametrize("used", [True, False])
def test_what_arms_start_from_is_said_where_there_are_related_classes(pictures, used: bool):
    lift = fake_lift()
    assert "related classes" not in page_of(lift, pictures)
    found = Pretraining(
        images=1234, classes=5, steps=1600, from_scratch=0.5, pretrained=0.612, used=used
    )
    own = lift.classifier.model_copy(update={"pretraining": found})
    page = page_of(lift.model_copy(update={"classifier": own}), pictures)
    assert "1,234 images of 5 related classes" in page
    assert "which reached 61.2 % balanced accuracy on real/val" in page
    assert "from random weights, which reached 50.0 %. So" in page
    assert ("every arm starts from classifiers of the related classes" in page) is used
    assert page.count("trained on related classes first") == used
    assert page.count("small_cnn, which was trained on the related classes first, with") == used


def test_recipe_and_steps_are_said_once_above_the_arms_and_images_shown_in_each(pictures):
    lift = fake_lift()
    page = page_of(lift, pictures)
    above = page[page.index("<h2>Every arm</h2>") : page.index('<table id="arms">')]
    assert "the recipe <strong>mixup</strong> (classical augmentation, and images blended" in above
    assert "for <strong>800 steps</strong>" in above
    arms = rows(page, "arms")
    assert not any("800 steps" in row for row in arms)
    assert "51,200" in arms[USUAL.index(REAL)]
    assert "added" not in arms[USUAL.index(REAL)]
    assert "102,40051,200 added" in arms[USUAL.index(FILTERED)]


@pytest.mark.parametrize(
    ("entry", "said", "alike"),
    [
        ("mixed", "what an arm adds stands beside them. They differ in nothing else", True),
        ("pretrain", "shown before them, in steps of its own", False),
        ("decayed", "twice as much at first and none in the end", True),
    ],
)
def test_when_added_images_are_shown_is_said(pictures, entry, said, alike):
    lift = fake_lift()
    shown = fake_evidence(list(lift.per_class), gans=lift.counts.gan_seeds).retrain
    page = page_of(lift, pictures, retrain={**shown, "schedule": entry})
    assert page.count(said.partition(".")[0]) == 2  # above the arms, and in the fine print
    assert said in page
    assert ("the same random draws for the augmentation of the real ones" in page) == alike


@pytest.mark.parametrize("norm", ["shared", "separate"])
def test_batch_statistics_of_their_own_are_said(pictures, norm):
    lift = fake_lift()
    shown = fake_evidence(list(lift.per_class), gans=lift.counts.gan_seeds).retrain
    page = page_of(lift, pictures, retrain={**shown, "batch_norm": norm})
    said = "stands beside them; in training it is normalised by batch statistics of its own"
    assert (said in page) == (norm == "separate")


def test_the_settling_is_told_as_recipe_by_steps(pictures):
    lift = fake_lift()
    page = page_of(lift, pictures)
    table = rows(page, "settling")
    assert table[0].partition(">")[2].strip().startswith("plainno augmentation")
    assert len(table) == 4
    assert [row.count("chosen") for row in table] == [0, 0, 0, 1]
    assert "96.5 ± 0.4 chosen" in table[3]
    section = page[page.index("How the recipe was settled") :]
    assert "real/val alone was read for it: no test image and no GAN image" in section
    assert "less than the standard error of that gain" in section
    assert ">rate 0.002" not in section  # one was tried


def test_several_rates_stand_with_the_cell_and_what_diverged_is_said(pictures):
    rows_of = [row.model_dump() for row in fake_lift().classifier.settling]
    worse = {"learning_rate": 0.004, "chosen": False, "val_balanced_accuracy": 0.5}
    broken = {"learning_rate": 0.004, "val_balanced_accuracy": None, "standard_error": None}
    rows_of += [rows_of[0] | broken | {"recipe": "trivial", "steps": 3200}, rows_of[-2] | worse]
    lift = altered(fake_lift(), classifier={"settling": rows_of})
    page = page_of(lift, pictures)
    table = rows(page, "settling")
    assert "rate 0.002, decay 0.01" in table[3]
    assert "50.0" not in table[3]
    assert [row.count("diverged") for row in table] == [0, 0, 1, 0]
    assert "settled with the recipe, the same for every arm" in page


def test_a_declared_recipe_has_no_table(pictures):
    declared = {"settling": [], "settled_by": "declared", "gain": None}
    (pictures / "settling.png").unlink()
    page = page_of(altered(fake_lift(), classifier=declared), pictures)
    assert '<table id="settling">' not in page
    assert "The recipe and the steps were declared in params.yaml." in page
    assert "set in params.yaml, the same for every arm" in page


def test_every_interval_reads_alike(pictures):
    lift = fake_lift()
    page = page_of(lift, pictures)
    assert bounds(lift.lift_pp) in page
    found = [lift.filter_lift_pp, *lift.arm_lift_pp.values()]
    found += [of.lift_pp for of in (*lift.comparisons, *lift.per_class.values())]
    assert all(bounds(one) in page for one in found)
    assert interval(lift.filter_lift_pp, "points") in page
    assert not re.search(r"[+−][\d.]+ to [+−][\d.]+", page)


def test_the_fine_print_names_the_kind_of_processor(pictures):
    page = page_of(fake_lift(), pictures)
    assert "x86_64, GenuineIntel, AVX512. Another kind of processor may round differently" in page


def test_doubts_and_commands_stand_on_the_page_only_where_there_are_any(pictures):
    assert 'id="doubts"' not in (sound := page_of(fake_lift(), pictures))
    assert 'id="commands"' not in sound
    lift = altered(fake_lift(), classifier={"settled_by": "most_steps"}, majority_class="<b>")
    page = page_of(altered(lift, floors={"accuracy": {"majority": 0.99}}), pictures)
    assert "always answering ‘&lt;b&gt;’ reaches 99.0 %" in page
    assert "<b>’" not in page
    assert '<pre tabindex="0">ganlift run --set retrain.most_steps=1600</pre>' in page


def test_the_rarest_classes_have_a_line_of_their_own(pictures):
    assert 'id="rarest"' not in page_of(fake_lift(), pictures)
    page = page_of(fake_lift(train=[5] * 2 + [20] * 8), pictures)
    assert "Rarest classes: recall +2.0 points [+0.5, +3.5]" in page


def test_mistakes_are_named_and_escaped(pictures):
    names = ["<i>cat</i>", "dog", "eel"]
    page = page_of(fake_lift(names), pictures)
    (confused,) = rows(page, "confusions")
    assert "eel" in confused
    assert "12.5" in confused
    assert "6.2" in confused
    assert "Test images that the treatment mends: 41" in page
    assert "&lt;i&gt;cat&lt;/i&gt; → eel" not in page  # the reverse is what flipped
    assert "eel → &lt;i&gt;cat&lt;/i&gt;" in page
    assert "<i>cat</i>" not in page


def test_classes_that_fell_short_are_all_named_in_a_box(pictures):
    names = [f"class {label}" for label in range(7)]
    merge = {"per_class": {name: {"short": 3} for name in names}, "expectations": []}
    page = page_of(fake_lift(names), pictures, merge=merge)
    box = page[page.index('<p class="warn" id="short">') :].partition("</p>")[0]
    assert "7 of 7 classes" in box
    assert all(name in box for name in names)


def test_what_the_data_gate_warned_of_is_named_and_bounded(pictures):
    assert 'id="amber"' not in page_of(fake_lift(("a", "b")), pictures)
    warnings = [
        {
            "passed": False,
            "severity": "warn",
            "split": "test",
            "explanation": f"Every class has {number} images.",
            "observed": "1 of 2 classes fail (<i>ant</i>: 11)",
        }
        for number in range(50, 65)
    ]
    gate = {"expectations": [{"passed": True}, *warnings]}
    page = page_of(fake_lift(("a", "b")), pictures, validation=gate)
    assert "met 1 of 16 expectations; what they did not meet is a warning" in page
    box = page[page.index('id="amber">') :].partition("</div>")[0]
    said = "test: Every class has 50 images, but 1 of 2 classes fail (&lt;i&gt;ant&lt;/i&gt;: 11)."
    assert said in box
    assert box.count("<li>") == 12 + 1
    assert "3 more stand in reports/validation.html" in box

from __future__ import annotations

import pytest

from tasks.answer.commands import commands
from tasks.answer.terminal import terminal
from tasks.answer.words import (
    against,
    headline,
    more_images,
    settled,
    signed,
    told,
    value,
    what_would_change,
    worth,
    worth_in_full,
)
from tasks.contracts.arms import (
    ARMS,
    FILTERED,
    OTHER_DOMAIN,
    PSEUDO_LABELLED,
    REAL,
    REPEATED,
    SYNTHETIC_ONLY,
)
from tasks.lift.parts import Pretraining
from tests.answer.fake_report import altered, fake_lift

VAL = {REAL: 0.9, REPEATED: 0.95, PSEUDO_LABELLED: 0.96}


def said(mean, low, high, verdict, **changes):
    """A result of macro F1 over a declared baseline, with its sentences."""
    lift = fake_lift(metric="macro_f1", metric_name="macro F1")
    ends = {"mean": mean, "ci_low": low, "ci_high": high}
    choice = {"rule": "declared", "val": {REPEATED: 0.95}}
    plain = {"verdict": verdict, "lift_pp": ends, "baseline": REPEATED}
    content = lift.model_dump(mode="json") | {"baseline_choice": choice}
    return told(altered(type(lift).model_validate(content), **(plain | changes)))


@pytest.mark.parametrize(
    ("found", "answer", "advice"),
    [
        ((2.0, 0.1, 4.0, "helps"), "Yes: adding filtered GAN images gave", "Use real+filtered in"),
        ((-2.0, -4.0, -0.1, "hurts"), "No, don’t add them: adding filtered", "Stay with real+rep"),
        ((0.1, -0.2, 0.4, "inconclusive"), "Not on this evidence", "practically no effect"),
        ((0.3, 0.1, 0.6, "inconclusive"), "Not on this evidence", "There is a gain, but"),
        ((-0.3, -0.6, -0.1, "inconclusive"), "Not on this evidence", "There is a loss, but"),
        ((2.0, -0.2, 4.4, "inconclusive"), "Not on this evidence", "chance alone"),
    ],
)
def test_the_answer_follows_the_verdict(found, answer, advice):
    lift = said(*found)
    mean, low, high = (signed(number) for number in found[:3])
    assert lift.answer.startswith(answer)
    assert f"macro F1 of {mean} points [{low}, {high}] (95 % confidence interval)" in lift.answer
    assert lift.answer.endswith("over repeating real images.")
    assert advice in lift.advice
    assert "one GAN" not in lift.advice


@pytest.mark.parametrize("treatment", ARMS)
@pytest.mark.parametrize("verdict", ["helps", "hurts", "inconclusive"])
def test_every_arm_has_words_in_either_part(treatment, verdict):
    for baseline in ARMS:
        lift = said(
            1.0,
            0.5,
            1.5,
            verdict,
            treatment=treatment,
            baseline=baseline,
            baseline_choice={"rule": "strongest"},
        )
        assert lift.answer.endswith(", the strongest training without GAN images.")
        assert f"{treatment} against {baseline}, the strongest" in against(lift)
    assert ("don’t add them" in lift.answer) == (verdict == "hurts" and "filtered" in treatment)


@pytest.mark.parametrize("verdict", ["helps", "hurts", "inconclusive"])
def test_a_declared_baseline_that_is_not_the_one_to_beat_is_told(verdict):
    weak = said(2.0, 1.0, 3.0, verdict, baseline=REAL, baseline_choice={"val": VAL})
    assert "real was declared as the baseline, and real+pseudo-labelled, without" in weak.advice
    loss = said(
        2.0, 1.0, 3.0, verdict, baseline=PSEUDO_LABELLED, baseline_choice={"val": VAL},
        primary_metric="log_loss",
    )  # fmt: skip
    assert "and real, without" in loss.advice  # of a loss, less is better
    for fair in (
        {"baseline": PSEUDO_LABELLED, "baseline_choice": {"val": VAL}},
        {"baseline": PSEUDO_LABELLED, "baseline_choice": {"val": VAL, "rule": "strongest"}},
        {"baseline": SYNTHETIC_ONLY, "baseline_choice": {"val": {REPEATED: 1.0}},
         "treatment": REPEATED},
    ):  # fmt: skip
        assert "declared as" not in said(2.0, 1.0, 3.0, verdict, **fair).advice


def test_less_log_loss_is_better_and_one_gan_is_told():
    loss = {"primary_metric": "log_loss", "metric_name": "log loss", "gan_luck": False}
    loss["unit"] = "hundredths of a nat"
    better = said(2.0, 1.0, 3.0, "helps", **loss)
    worse = said(-2.0, -3.0, -1.0, "hurts", **loss)
    assert "lift in log loss of +2.0 hundredths of a nat [+1.0, +3.0]" in better.answer
    assert "lift in log loss of −2.0 hundredths of a nat [−3.0, −1.0]" in worse.answer
    for lift in (better, worse, said(1.0, -1.0, 3.0, "inconclusive", **loss)):
        assert "(95 % confidence interval; positive is better)" in lift.answer
        assert "the images of one GAN" in lift.advice


def test_the_headline_names_metric_lift_interval_and_level():
    assert headline(fake_lift(mean=-0.22, half=0.81)) == (
        "lift in balanced accuracy of −0.2 points [−1.0, +0.6] (95 % confidence interval)"
    )


def test_the_terminal_names_collapsed_classes():
    lift = altered(fake_lift(gans=2), gans={"1": {"collapsed": ["cat", "dog"]}})
    lines = terminal(told(lift)).splitlines()
    assert lines[0] == f"verdict  {lift.verdict}"
    assert lines[1].startswith("answer   Yes: ")
    assert lines[-1] == "collapse GAN 1: cat, dog"


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({}, "about 140 more real images [+40, over +200]"),
        ({"real_images": 160, "low": 120, "high": 190}, "about 40 fewer real images [−80, −10]"),
        ({"real_images": None, "beyond": "above"}, "more than 200 more real images"),
        ({"real_images": None, "beyond": "above", "have": 400}, "more than the curve shows"),
        ({"real_images": None, "beyond": "below"}, "less than 50 real images, the fewest on the "
                                                    "curve"),
    ],
)  # fmt: skip
def test_worth_in_short_says_what_lies_beyond_as_a_bound(found, text):
    assert worth(altered(fake_lift(), worth=found).worth) == text


def test_values_are_percent_and_losses_nats():
    assert value(0.96, "recall:cat") == "96.0 %"
    assert value(0.19, "log_loss") == "0.190 nats"


def test_what_would_change_names_the_way_out():
    open_ = what_would_change(fake_lift(mean=0.6, half=0.9))
    assert "6 GANs in place of 4, or 2,400 test images in place of 800" in open_[0]
    nothing = dict.fromkeys(("gans", "seeds", "test_images"))
    stuck = altered(fake_lift(mean=0.6, half=0.9), settle=nothing)
    assert "would not be enough to exclude 0" in what_would_change(stuck)[0]
    weak = fake_lift(mean=0.1, half=1)
    assert "better GAN" in what_would_change(weak)[0]
    perfect = altered(weak, arms={weak.baseline: {weak.primary_metric: {"mean": 0.996}}})
    assert what_would_change(perfect)[0].endswith("would stay inconclusive.")
    assert "the interval is 1.0 points from 0" in what_would_change(fake_lift(mean=-2, half=1))[0]
    assert "a true lift of 1.1 points would be detected in 80 %" in open_[1]


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        ({"runs": 2, "images": 1}, "About 80 % of the uncertainty comes from the draw of GANs"),
        ({"runs": 1, "images": 2}, "About 80 % of the uncertainty comes from the draw of test"),
        ({"runs": 2, "images": 0}, "Nearly all of the uncertainty comes from the draw of GANs"),
    ],
)
def test_what_would_change_names_the_larger_noise(noise, said):
    assert any(
        one.startswith(said) for one in what_would_change(altered(fake_lift(), noise_pp=noise))
    )


@pytest.mark.parametrize(
    ("mean", "said"),
    [
        (1.2, "Real images would help: 400 real images in place of 200, trained with the "
              "same recipe, have a lift of +1.2 points [+0.5, +1.9] over "),
        (0.4, "Whether more images of any kind would help is open: 400"),
        (-0.4, "Not even real images would help: 400"),
    ],
)  # fmt: skip
def test_what_would_change_tells_what_real_images_bring(mean, said):
    points = {"mean": mean, "ci_low": mean - 0.7, "ci_high": mean + 0.7}
    lift = altered(fake_lift(), more_real={"real_images": 400, "lift_pp": points})
    assert any(one.startswith(said) for one in what_would_change(lift))
    none = what_would_change(altered(lift, more_real=None))
    assert not any("in place of 200, trained" in one for one in none)


@pytest.mark.parametrize(
    ("pseudo", "added", "said"),
    [(1800, 200, True), (1800, 1000, False), (0, 20, False)],
)
def test_adding_more_is_advised_where_gans_learned_far_more_than_is_added(pseudo, added, said):
    lift = fake_lift()
    assert lift.counts.train == 200
    gans = {seed: {"pseudo_labelled": pseudo} for seed in lift.gans}
    counts = {"synthetic": dict.fromkeys(gans, added)}
    found = commands(altered(lift, gans=gans, counts=counts))
    told = {one.line: one.reason for one in found}
    line = "ganlift run --set merge.synthetic_per_real=10"
    assert (line in told) == said
    assert not said or "learned from 2,000 images" in told[line]


@pytest.mark.parametrize(
    ("saw_more", "mean", "said"),
    [(None, 0.1, True), (None, -2.0, True), (None, 2.0, False), (OTHER_DOMAIN, 0.1, False),
     (PSEUDO_LABELLED, 0.1, False), ("related", 0.1, False)],
)  # fmt: skip
def test_what_would_tell_gans_more_is_said_where_they_saw_little_and_do_not_help(
    saw_more, mean, said
):
    few = (REAL, REPEATED, FILTERED)
    lift = fake_lift(
        mean=mean,
        half=0.7,
        arms=few if saw_more == "related" else (*few, *filter(None, [saw_more])),
    )
    if saw_more == "related":
        found = Pretraining(
            images=9, classes=3, steps=1, from_scratch=0.5, pretrained=0.6, used=False
        )
        own = lift.classifier.model_copy(update={"pretraining": found})
        lift = lift.model_copy(update={"classifier": own})
    told = " ".join(what_would_change(lift))
    assert ("of related classes" in told) == said


@pytest.mark.parametrize(
    ("found", "sentence", "more"),
    [
        ({}, "About 140 more real images [+40, over +200]: a lift of +0.8 points is what 340 real "
         "images in place of 200 bring with the same recipe (95 % confidence interval).",
         ("+140", "[+40, over +200]")),
        ({"real_images": None, "low": 300, "beyond": "above"},
         "is more than 400 real images in place of 200 with the same recipe bring.",
         ("> +200", "the curve ends there")),
        ({"real_images": None, "low": None, "beyond": "below"},
         "is less than 50 real images in place of 200 with the same recipe bring.",
         ("< −150", "the curve ends there")),
        ({"real_images": None, "beyond": "above", "have": 400},
         "is more than 400 real images bring.",
         ("–", "there are no more labelled images to compare with")),
    ],
)  # fmt: skip
def test_worth_is_told_inside_the_curve_and_beyond_it(found, sentence, more):
    lift = altered(fake_lift(), worth=found)
    assert sentence in worth_in_full(lift, lift.worth)
    assert more_images(lift.worth) == more


@pytest.mark.parametrize(
    ("mean", "half", "end"),
    [(0.8, 0.7, ""), (-0.8, 0.7, "better without it."), (0.1, 0.7, "it may be worth nothing."),
     (-0.1, 0.7, "it may be worth nothing.")],
)  # fmt: skip
def test_whether_it_is_worth_anything_is_what_the_lift_says(mean, half, end):
    lift = fake_lift(mean=mean, half=half)
    for found in ({}, {"real_images": 190, "high": 199}, {"real_images": None, "beyond": "below"}):
        told = altered(lift, worth=found)
        assert worth_in_full(told, told.worth).endswith(end)
        assert ("better without" in worth_in_full(told, told.worth)) == (mean < -half)
        assert ("worth nothing" in worth_in_full(told, told.worth)) == (abs(mean) < half)


@pytest.mark.parametrize(
    ("by", "gain", "said", "may_change"),
    [
        ("plateau", 0.001, "the last doubling of the steps gained +0.1 ± 0.3 points of balanced "
                           "accuracy on real/val, less than", False),
        ("plateau", None, "because with twice the steps it diverged.", False),
        ("most_steps", 0.012, "while accuracy on real/val still rose (the last doubling of the "
                              "steps gained +1.2 ± 0.3 points). A longer training may change the "
                              "answer: raise retrain.most_steps.", True),
        ("most_steps", None, "still rose. A longer training may change", True),
        ("declared", None, "The 800 steps were declared, so whether a longer training would", True),
    ],
)  # fmt: skip
def test_why_training_was_not_longer(by, gain, said, may_change):
    lift = altered(fake_lift(), classifier={"settled_by": by, "gain": gain})
    assert "real/val alone was read for it" in settled(lift)[0]
    assert said in settled(lift)[1]
    assert (settled(lift)[1] in what_would_change(lift)) == may_change


def test_both_arms_of_the_verdict_are_said_to_train_alike():
    lift = fake_lift()
    assert against(lift).endswith("on real/val; both with the recipe mixup for 800 steps")
    assert f"{FILTERED} against {REPEATED}" in against(lift)


@pytest.mark.parametrize(
    ("points", "text"),
    [
        (1.26, "+1.3"),
        (-1.26, "−1.3"),
        (0.0, "0.0"),
        (0.04, "+0.04"),
        (-0.04, "−0.04"),
        (1e-9, "0.0"),
    ],
)
def test_signed_never_shows_0_for_what_is_not(points, text):
    assert signed(points) == text

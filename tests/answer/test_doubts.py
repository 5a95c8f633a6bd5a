"""What speaks against a run, and the commands that would mend it."""

from __future__ import annotations

import pytest

from tasks.answer.commands import commands
from tasks.answer.doubts import doubts
from tasks.answer.terminal import terminal
from tasks.lift.sharing import Sharing
from tests.answer.fake_report import altered, fake_lift
from tests.answer.fake_sharing import GUARANTEE


def test_a_sound_run_raises_no_doubt():
    assert doubts(fake_lift()) == []
    assert doubts(altered(fake_lift(), gans={"0": {"rollbacks": 3}})) == []  # which mended it
    assert "doubt" not in terminal(fake_lift())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"floors": {"accuracy": {"majority": 0.99}}, "majority_class": "Free"},
         "and always answering ‘Free’ reaches 99.0 %"),
        ({"floors": {"balanced_accuracy": {"chance": 0.97}}}, "and guessing reaches 97.0 %"),
        ({"arms": {"real+repeated": {"balanced_accuracy": {"mean": 0.996}}}},
         "nothing to gain: the baseline’s balanced accuracy is 99.6 %, and a classifier without an "
         "error would be 0.4 points above it."),
        ({"per_class": {"3": {"test_images": 19}}}, "1 of 10 classes have fewer than 20"),
        ({"verdict": "inconclusive", "gans": {"1": {"conditioning": 0.42}}},
         "GAN 1: only 42.0 % of its images show the requested class, according to a classifier "
         "that recognises 97.0 % of real/val; below 68 % it"),
        ({"verdict": "inconclusive", "gans": {"2": {"coverage": 0.31}}},
         "GAN 2: only 31.0 % of the held-out real images"),
        ({"gans": {"0": {"collapsed": ["1", "2"]}}}, "GAN 0 collapsed on 2 of 10 classes: 1, 2."),
        ({"gans": {"0": {"left_out": True}, "2": {"left_out": True}}},
         "The filter accepted no image of GANs 0, 2. The arms rest on 2 of 4 GANs"),
        ({"classifier": {"settled_by": "most_steps"}}, "stopped at 800 steps"),
        ({"mde_pp": 1.6}, "a lift would most often be missed"),
    ],
)  # fmt: skip
def test_each_doubt_is_told_with_its_figure(changes, said):
    (found,) = doubts(altered(fake_lift(), **changes))
    assert said in found
    assert f"doubt    {found}" in terminal(altered(fake_lift(), **changes))


@pytest.mark.parametrize(
    ("ahead", "low", "told"), [(0.9, -0.2, True), (0.9, 0.1, False), (-0.1, -0.2, False)]
)
def test_a_yes_that_another_training_without_gan_images_would_turn_is_doubted(ahead, low, told):
    """real/val chose repeating, which the real images alone then beat by a point."""
    lift = fake_lift()
    compared = [
        one.model_copy(update={"lift_pp": one.lift_pp.model_copy(update={"ci_low": low})})
        if (one.arm, one.over) == ("real+filtered", "real")
        else one
        for one in lift.comparisons
    ]
    lift = altered(lift, arm_lift_pp={"real": {"mean": ahead}})
    lift = lift.model_copy(update={"comparisons": tuple(compared)})
    said = [
        "On the test images real did better than the baseline, real+repeated. Over real the lift "
        "is +1.2 points [−0.2, +2.1]: that GAN images help more than every training without them "
        "has not been shown."
    ]
    assert doubts(lift) == said * told
    assert doubts(lift.model_copy(update={"verdict": "hurts"})) == []


def test_a_gan_is_not_blamed_for_a_classifier_that_recognises_few_real_images_either():
    poor = altered(
        fake_lift(),
        verdict="inconclusive",
        gans={"1": {"conditioning": 0.5, "conditioning_real": 0.65}},
    )
    assert doubts(poor) == []
    assert not any("total_kimg" in command.line for command in commands(poor))
    worse = altered(
        fake_lift(),
        verdict="inconclusive",
        gans={"1": {"conditioning": 0.4, "conditioning_real": 0.65}},
    )
    (found,) = doubts(worse)
    assert "GAN 1: only 40.0 %" in found
    unknown = {seed: {"conditioning_real": None} for seed in fake_lift().gans}
    unknown["1"]["conditioning"] = 0.65
    (found,) = doubts(altered(fake_lift(), verdict="inconclusive", gans=unknown))
    assert found.endswith("according to a classifier; below 70 % it can hardly help.")


def test_each_gan_is_held_against_its_own_judge():
    """Folds have one each."""
    judged = {"0": {"conditioning": 0.5, "conditioning_real": 0.6},
              "1": {"conditioning": 0.5, "conditioning_real": 0.9}}  # fmt: skip
    (found,) = doubts(altered(fake_lift(), verdict="inconclusive", gans=judged))
    assert found.startswith("GAN 1: only 50.0 %")
    assert "that recognises 90.0 % of real/val; below 63 % it can" in found


def test_gans_that_were_measured_to_help_are_not_said_hardly_to_help():
    """Two rare classes gained 9 points by images of which a judge knew two in five."""
    poor = altered(fake_lift(), gans={"1": {"conditioning": 0.4, "coverage": 0.3}})
    assert poor.verdict == "helps"
    assert doubts(poor) == []
    assert not any("total_kimg" in command.line for command in commands(poor))


def test_many_gans_are_told_together():
    lift = fake_lift()
    flags = lift.gans["0"].model_copy(
        update={"coverage": 0.31, "collapsed": ("1",), "conditioning": 0.9}
    )
    gans = {f"{seed} of fold {fold}": flags for seed in (0, 1) for fold in (1, 2, 3)}
    gans["1 of fold 3"] = flags.model_copy(update={"coverage": 0.4, "collapsed": ("1", "7")})
    assert doubts(lift.model_copy(update={"gans": gans, "verdict": "inconclusive"})) == [
        "6 of 6 GANs: only 31.0 to 40.0 % of the held-out real images have one of its images near "
        "them (coverage); below 50 % it can hardly help.",
        "6 of 6 GANs collapsed on classes: 1 in 6, 7 in 1.",
    ]


def test_a_coarse_study_that_found_more_than_it_can_miss_is_not_doubted_for_it():
    found = fake_lift(mean=5.0)
    assert doubts(altered(found, mde_pp=4.0)) == []
    assert len(doubts(altered(found, mde_pp=6.0))) == 1


def test_of_a_loss_the_floor_lies_above():
    lift = fake_lift(metric="log_loss", metric_name="log loss")
    assert doubts(lift) == []
    (found,) = doubts(altered(lift, floors={"log_loss": {"majority": 0.05}}))
    assert "giving every image the shares of the classes reaches 0.050 nats" in found


def test_commands_can_be_copied_and_the_most_valuable_stands_first():
    lift = altered(
        fake_lift(mean=0.6, half=0.9, gans=1),
        classifier={"settled_by": "most_steps"},
        gans={"0": {"coverage": 0.2}},
    )
    lines = [command.line for command in commands(lift)]
    assert lines == [
        "ganlift run --set retrain.most_steps=1600",
        "ganlift run --set train_gan.total_kimg=176",
        "ganlift run --set 'train_gan.seeds=[0, 1, 2, 3]'",
    ]
    assert commands(fake_lift()) == []
    odd = altered(lift, gans={"0": {"coverage": 0.2, "kimg": 29.952}})
    assert "ganlift run --set train_gan.total_kimg=60" in [one.line for one in commands(odd)]
    promised = Sharing(guarantee=GUARANTEE, attacks={})
    private = commands(lift.model_copy(update={"sharing": promised}))
    assert not any("total_kimg" in command.line for command in private)


def test_a_study_that_no_seeds_would_settle_is_not_told_to_add_seeds():
    lift = altered(fake_lift(mean=0.6, half=0.9), settle={"gans": 33, "seeds": 400})
    assert commands(lift) == []

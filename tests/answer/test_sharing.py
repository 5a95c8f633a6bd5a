"""The words for what may be shared, at the terminal and on the page."""

from __future__ import annotations

import dataclasses
import json

import pytest
from PIL import Image

from tasks.answer.figures import figures
from tasks.answer.page import render_page
from tasks.answer.sharing import BROKEN, allowed, in_short, outcome, rate, spent
from tasks.answer.terminal import terminal
from tests.answer.fake_report import altered, fake_evidence, fake_lift
from tests.answer.fake_sharing import GUARANTEE, membership, shared
from tests.answer.test_page import PICTURES, rows


@pytest.fixture
def pictures(tmp_path):
    for name in PICTURES:
        Image.new("L", (2, 2)).save(tmp_path / f"{name}.png")
    return tmp_path


def page_of(lift, pictures) -> str:
    return render_page(lift, fake_evidence(list(lift.per_class), gans=2), pictures)


def test_without_a_guarantee_it_is_said_not_to_share_and_what_an_attack_reached():
    assert in_short(shared().sharing) == (
        "If the real images are private, share neither the GANs nor their images: the GANs were "
        "trained without a guarantee of privacy. From the GAN images alone, an attack tells "
        "training images from others better than chance (AUC 0.65 [0.60, 0.70], chance is 0.50; "
        "it finds 3.1 % [1.6, 4.6] of them at 1 % false alarms)."
    )


def test_an_attack_that_found_nothing_is_no_promise():
    said = in_short(shared(membership(0.51, 0.48, tpr=0.012)).sharing)
    assert "share neither" in said
    assert "no better than chance (AUC 0.51 [0.46, 0.56]" in said
    assert said.endswith("no promise that a better one would not.")
    one = in_short(shared(membership(0.51, 0.71, tpr=0.012)).sharing)
    assert "From the GANs’ discriminators, an attack tells" in one
    assert one.endswith("From the GAN images alone, it does not; that is no promise.")


def test_rare_finds_count_though_the_average_does_not():
    assert "better than chance" in in_short(shared(membership(0.5, 0.5, tpr=0.04)).sharing)


def test_a_rate_that_was_not_measured_is_left_out():
    found = shared(membership(tpr=None)).sharing
    assert "false alarms" not in in_short(found)
    assert rate(found.attacks["nearest"]) == "–"
    assert in_short(shared({}).sharing).endswith("without a guarantee of privacy.")


def test_a_guarantee_says_what_it_covers_and_what_not():
    found = shared(guarantee=GUARANTEE).sharing
    assert in_short(found) == (
        "The generators and the images they made can be shared under (ε = 8.23, δ = 1e-05)-"
        "differential privacy of any single training image. The accepted images, the classifiers "
        "and this report are not covered. So large an ε promises little by itself: it allows an "
        "attack that finds 100.0 % of the training images at 1 % false alarms; what the attacks "
        "found stands below."
    )
    small = dataclasses.replace(GUARANTEE, epsilon=1.2, epsilon_together=2.0)
    assert in_short(shared(guarantee=small).sharing).endswith("this report are not covered.")
    assert spent(GUARANTEE).startswith("Each of 2 GANs spends ε = 4.1, all together 8.23, at δ =")
    groups = dataclasses.replace(GUARANTEE, unit="group", gans=1)
    assert "all training images of any one group" in in_short(shared(guarantee=groups).sharing)
    assert "any of 1,200 groups" in spent(groups)
    assert spent(groups).startswith("The GAN spends")


def test_what_a_guarantee_allows_stands_beside_each_attack():
    found = shared(guarantee=GUARANTEE).sharing.attacks["nearest"]
    assert allowed(found).startswith("AUC 1.00")
    weak = shared(guarantee=dataclasses.replace(GUARANTEE, epsilon_together=1.0)).sharing
    assert allowed(weak.attacks["nearest"]) == "AUC 0.73, 2.7 %"
    assert allowed(shared().sharing.attacks["nearest"]) == "no bound"


def test_an_attack_beyond_the_bound_puts_the_guarantee_in_doubt():
    tight = dataclasses.replace(GUARANTEE, epsilon_together=0.1)
    found = shared(guarantee=tight).sharing
    assert outcome(found.attacks["nearest"]) == "more than the guarantee allows"
    assert in_short(found).endswith(BROKEN)
    chance = shared(membership(0.5, 0.5, tpr=0.01), tight).sharing
    assert BROKEN not in in_short(chance)
    assert outcome(chance.attacks["nearest"]) == "no better than chance"


def test_the_sentence_stands_at_the_terminal_and_beside_the_verdict(pictures):
    lift = shared()
    assert f"share    {in_short(lift.sharing)}" in terminal(lift).splitlines()
    page = page_of(lift, pictures)
    hero = page[page.index('<section class="hero') :].partition("</section>")[0]
    assert in_short(lift.sharing) in hero
    assert "How much a stranger can tell" in page
    attacks = rows(page, "attacks")
    assert len(attacks) == 3  # and chance
    assert "0.65 [0.60, 0.70]" in attacks[0]
    assert "3.1 % [1.6, 4.6]" in attacks[0]
    assert "better than chance" in attacks[0]
    assert "GAN-Leaks" in page
    assert 'id="guarantee"' not in page
    private = page_of(shared(guarantee=GUARANTEE), pictures)
    assert "ganlift export private DIR" in private


def test_a_result_that_did_not_ask_says_nothing(pictures):
    page = page_of(fake_lift(gans=2), pictures)
    assert "stranger" not in page
    assert "May I share" not in page
    assert "share " not in terminal(fake_lift())


def test_names_of_attacks_are_no_markup(pictures):
    evil = "<script>x"
    page = page_of(shared({evil: membership()["nearest"]}), pictures)
    assert "<script" not in page
    assert "&lt;script&gt;x" in page


def test_the_few_figures_hold_the_leak_and_what_is_spent():
    gans = {"0": {"evaluation": {}}}
    assert figures(shared(), gans, [0.5])["leak"] == 0.65
    assert "eps" not in figures(shared(), gans, [0.5])
    assert figures(shared(guarantee=GUARANTEE), gans, [0.5])["eps"] == 8.23
    assert "leak" not in figures(fake_lift(), gans, [0.5])


def test_it_comes_back_from_its_file():
    for lift in (shared(), shared(guarantee=GUARANTEE), shared(membership(tpr=None))):
        assert type(lift).parse(lift.dumps(), "lift.json").dumps() == lift.dumps()
    old = json.loads(shared().dumps())
    del old["sharing"]
    assert type(lift).parse(old, "lift.json").sharing is None
    assert altered(lift, answer="x").sharing == lift.sharing

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import UserError
from tasks.contracts.params.quality_filter import QualityFilterParams
from tasks.quality.rules import RULES, in_force
from tasks.quality.selection import (
    ACCEPTED,
    REASONS,
    Scored,
    Shortfall,
    check_any_gan,
    decide,
    emptied,
    emptied_gans,
    real_scores,
    shortfalls,
    with_thresholds,
)
from tests.contracts.tiny import tiny_params

STRICT: Mapping[str, object] = {
    "p_real_quantile": 0.2,
    "confidence_quantile": 0.2,
    "margin_quantile": 0.2,
    "realism_quantile": 0.2,
    "agreement": True,
    "authentic": True,
    "per_class": 20,
}


def params(**changes: object) -> QualityFilterParams:
    return tiny_params(quality_filter=dict(changes)).quality_filter


def scored(n: int = 600, seed: int = 0, **columns: object) -> Scored:
    """GANs 0 and 3, classes 0 and 1; scores at random, as are those of 100 real images."""
    rng = np.random.default_rng(seed)
    names = ["p_real", "confidence", "margin", "realism"]
    table = pd.DataFrame({name: rng.random(n) for name in names}).assign(
        gan_seed=rng.choice([0, 3], n),
        label=rng.integers(0, 2, n),
        agrees=rng.random(n) < 0.9,
        authentic=rng.random(n) < 0.9,
        is_copy=rng.random(n) < 0.1,
        is_duplicate=rng.random(n) < 0.1,
    )
    table["class_name"] = np.array(["ant", "bee"])[table["label"]]
    labels = np.repeat([0, 1], 50)
    real = [
        *(real_scores({"p_real": rng.random(100)}, labels, gan) for gan in (0, 3)),
        real_scores({name: rng.random(100) for name in names[1:]}, labels),
    ]
    return Scored(table.assign(**columns), pd.concat(real), rng.normal(size=(n, 3)).__getitem__)


def test_thresholds_are_the_quantiles_of_real_images_and_absent_at_0() -> None:
    case = scored()
    table = with_thresholds(case, params(p_real_quantile=0.3, margin_quantile=0.1))
    for (gan, label), rows in table.groupby(["gan_seed", "label"]):
        real = case.real[case.real["label"] == label]
        own = real[(real["score"] == "p_real") & (real["gan_seed"] == gan)]["value"]
        assert rows["p_real_threshold"].unique() == pytest.approx([own.quantile(0.3)])
        any_gan = real[real["score"] == "margin"]["value"]
        assert rows["margin_threshold"].unique() == pytest.approx([any_gan.quantile(0.1)])
    assert table[["confidence_threshold", "realism_threshold"]].isna().all(axis=None)
    best = with_thresholds(case, params(select="top_share", p_real_quantile=0.3))
    assert best["p_real_threshold"].isna().all()


def test_nothing_asked_is_nothing_rejected() -> None:
    lenient = params(reject_copies=False)
    assert in_force(lenient) == ()
    assert (decide(scored(), lenient, 0)["reason"] == ACCEPTED).all()


def test_rejected_copies_are_one_switch() -> None:
    copies = {"copy", "near duplicate", "not authentic"}
    assert {rule.reason for rule in in_force(params(authentic=True))} == copies
    assert in_force(params(authentic=True, reject_copies=False)) == ()


@pytest.mark.parametrize(
    ("select", "extra"),
    [
        ("threshold", set()),
        ("top_share", set()),
        ("rejection_sampling", set()),
        ("informative", {"already sure"}),
    ],
)
def test_an_image_is_given_the_first_reason_that_holds(select: str, extra: set[str]) -> None:
    case = scored(1200)
    strict = params(**STRICT, select=select, top_share=0.6)
    table = decide(case, strict, 0)
    reason = table["reason"]
    assert set(reason) - extra == {*REASONS} - {"already sure"}  # each rule has its share
    assert extra <= set(reason)
    expected = pd.Series("", index=table.index)
    plain = {
        "copy": table["is_copy"],
        "near duplicate": table["is_duplicate"],
        "not authentic": ~table["authentic"],
        "other label": ~table["agrees"],
        "low confidence": table["confidence"] < table["confidence_threshold"],
        "low margin": table["margin"] < table["margin_threshold"],
        "off manifold": table["realism"] < table["realism_threshold"],
    }
    for name, mask in plain.items():
        expected[mask & (expected == "")] = name
    judged = reason.isin(plain)
    assert reason[judged].tolist() == expected[judged].tolist()
    assert (expected[~judged] == "").all()
    assert table[reason == ACCEPTED].groupby(["gan_seed", "label"]).size().max() <= 20


@pytest.mark.parametrize("score", ["confidence", "p_real", "margin", "realism"])
def test_a_score_that_is_no_number_is_not_accepted(score: str) -> None:
    case = scored(**{score: np.nan})
    table = decide(case, params(**{f"{score}_quantile": 0.1}, reject_copies=False), 0)
    assert ACCEPTED not in set(table["reason"])
    assert len(set(table["reason"])) == 1


def test_the_top_share_is_of_each_gan_and_class_and_of_what_is_left() -> None:
    table = decide(scored(), params(select="top_share", top_share=0.25), 0)
    for _, rows in table.groupby(["gan_seed", "label"]):
        kept = rows[rows["reason"] == ACCEPTED]["p_real"]
        left = rows[rows["reason"].isin([ACCEPTED, "low p_real"])]["p_real"]
        assert len(kept) == round(0.25 * len(left))
        assert kept.min() >= left.drop(kept.index).max()


def test_informative_keeps_what_is_recognised_and_least_known() -> None:
    """Of what real images' band, the label and p(real) leave, the least sure share, by class."""
    chosen = params(
        select="informative", top_share=0.4, p_real_quantile=0.1, confidence_quantile=0.2
    )
    table = decide(scored(), chosen, 0)
    kept = table[table["reason"] == ACCEPTED]
    assert kept["agrees"].all()
    assert (kept["confidence"] >= kept["confidence_threshold"]).all()
    assert (kept["p_real"] >= kept["p_real_threshold"]).all()
    for _, rows in table.groupby(["gan_seed", "label"]):
        least_sure = rows[rows["reason"] == ACCEPTED]["confidence"]
        surer = rows[rows["reason"] == "already sure"]["confidence"]
        assert len(least_sure) == round(0.4 * (len(least_sure) + len(surer)))
        assert least_sure.max() <= surer.min()
    every = decide(scored(), chosen.model_copy(update={"top_share": 1.0}), 0)
    assert "already sure" not in set(every["reason"])


def test_no_threshold_asks_less_than_a_guess_would_score() -> None:
    """Of real images that are told no better than by chance, half lie below it."""
    case = scored()
    real = case.real.assign(value=case.real["value"] * 0.6 - 0.1 * (case.real["score"] == "margin"))
    poor = Scored(case.table, real, case.describe)
    table = with_thresholds(poor, params(confidence_quantile=0.2, margin_quantile=0.01))
    assert (table["confidence_threshold"] == 0.5).all()  # of two classes
    assert (table["margin_threshold"] == 0.0).all()


def test_rejection_sampling_draws_by_seed_the_share_and_rather_the_real() -> None:
    strict = params(select="rejection_sampling", top_share=0.5, reject_copies=False)
    case = scored(4000)
    kept = [decide(case, strict, seed)["reason"] == ACCEPTED for seed in (0, 0, 1)]
    assert kept[0].equals(kept[1])
    assert not kept[0].equals(kept[2])
    assert kept[0].mean() == pytest.approx(0.5, abs=0.03)
    p_real = case.table["p_real"]
    assert p_real[kept[0]].mean() > p_real[~kept[0]].mean() + 0.2


@pytest.mark.parametrize("diversity", ["none", "farthest_point", "density"])
def test_a_quota_holds_for_every_gan_and_class(diversity: str) -> None:
    table = decide(scored(), params(per_class=30, diversity=diversity), 0)
    kept = table[table["reason"] == ACCEPTED]
    assert kept.groupby(["gan_seed", "label"]).size().tolist() == [30] * 4
    assert not kept["is_copy"].any()


@given(st.integers(0, 100))
def test_a_filter_with_shuffled_scores_is_no_better_than_chance(seed: int) -> None:
    """Of planted junk, true scores leave little and shuffled ones what there was."""
    rng = np.random.default_rng(seed)
    junk = rng.random(2000) < 0.4
    true = np.where(junk, rng.beta(2, 6, 2000), rng.beta(6, 2, 2000))
    strict = params(select="top_share", top_share=0.5, reject_copies=False)

    def junk_left(p_real: np.ndarray) -> float:
        table = decide(scored(2000, p_real=p_real), strict, 0)
        return float(junk[table["reason"] == ACCEPTED].mean())

    assert junk_left(true) < 0.05
    assert junk_left(rng.permutation(true)) == pytest.approx(junk.mean(), abs=0.06)


def judged(*reasons: str) -> pd.DataFrame:
    """One GAN, classes ant and bee: the ants are all accepted, the bees get these reasons."""
    return pd.DataFrame(
        {
            "gan_seed": 7,
            "class_name": ["ant"] * 3 + ["bee"] * len(reasons),
            "label": [0] * 3 + [1] * len(reasons),
            "reason": [ACCEPTED] * 3 + list(reasons),
        }
    )


@pytest.mark.parametrize(
    ("worst", "select", "mend"),
    [
        ("copy", "threshold", "Lower quality_filter.copy_quantile"),
        ("near duplicate", "threshold", "Lower quality_filter.copy_quantile"),
        ("not authentic", "threshold", "Set quality_filter.authentic=false"),
        ("other label", "threshold", "Set quality_filter.agreement=false"),
        ("low confidence", "threshold", "Lower quality_filter.confidence_quantile"),
        ("low margin", "threshold", "Lower quality_filter.margin_quantile"),
        ("off manifold", "threshold", "Lower quality_filter.realism_quantile"),
        ("low p_real", "threshold", "Lower quality_filter.p_real_quantile"),
        ("low p_real", "top_share", "Raise quality_filter.top_share"),
        ("low p_real", "rejection_sampling", "Raise quality_filter.top_share"),
        ("low p_real", "informative", "Lower quality_filter.p_real_quantile"),
        ("other label", "informative", "Set quality_filter.select=threshold"),
        ("already sure", "informative", "Raise quality_filter.top_share"),
    ],
)
def test_what_empties_every_gan_is_refused_by_its_name(worst: str, select: str, mend: str) -> None:
    strict = params(**STRICT, select=select, top_share=0.6)
    other = "copy" if worst != "copy" else "low p_real"
    table = judged(other, worst, worst, other, worst)
    check_any_gan(table, strict)
    table["reason"] = table["reason"].replace(ACCEPTED, worst)
    with pytest.raises(UserError, match=f"GAN 7: none of 8 images .*6 fell to {worst}.*{mend}"):
        check_any_gan(table, strict)


def test_a_gan_that_cannot_make_one_class_is_judged_with_the_others_it_makes() -> None:
    table = judged_by_class({(0, 0): 9, (0, 1): 0, (3, 0): 9, (3, 1): 9})
    assert not emptied_gans(table)
    (lost,) = emptied(table)
    assert str(lost).startswith("none of GAN 0's 10 images of class 'bee' was accepted; 10 fell to")
    assert shortfalls(table, {0: 5, 1: 5}) == {"bee": Shortfall(5, 0, None)}


def test_a_gan_without_any_accepted_image_is_named_and_only_all_of_them_are_refused() -> None:
    table = judged_by_class({(0, 0): 9, (0, 1): 9, (3, 0): 0, (3, 1): 0})
    check_any_gan(table, params())
    (lost,) = emptied_gans(table)
    assert str(lost) == "none of GAN 3's 20 images was accepted; 20 fell to copy"
    one_class = judged_by_class({(0, 0): 9, (0, 1): 0, (3, 0): 9, (3, 1): 0})
    assert not emptied_gans(one_class)
    asked = {0: 0, 1: 4}  # the other class is not asked for
    assert [one.gan_seed for one in emptied_gans(one_class, asked)] == [0, 3]
    with pytest.raises(UserError, match="all 2 GANs: none of 20 images was accepted; 20 fell to"):
        check_any_gan(one_class, params(), asked)


def test_every_mend_names_a_setting() -> None:
    for rule in RULES:
        keys = re.findall(r"quality_filter\.(\w+)", rule.mend)
        assert keys
        assert {*keys} <= {*QualityFilterParams.model_fields}


def test_one_accepted_image_of_a_class_and_gan_is_enough() -> None:
    assert not emptied(judged("copy", ACCEPTED, "copy"))
    both = pd.concat([judged(ACCEPTED), judged("copy").assign(gan_seed=8)])
    assert [(one.gan_seed, one.class_name) for one in emptied(both)] == [(8, "bee")]


def judged_by_class(accepted: Mapping[tuple[int, int], int], made: int = 10) -> pd.DataFrame:
    """So many accepted of each GAN and class, of 10 made."""
    return pd.concat(
        pd.DataFrame(
            {
                "gan_seed": gan,
                "label": label,
                "class_name": ["ant", "bee"][label],
                "reason": [ACCEPTED] * count + ["copy"] * (made - count),
            }
        )
        for (gan, label), count in accepted.items()
    )


def test_a_class_of_which_none_are_asked_for_may_be_empty() -> None:
    table = judged_by_class({(0, 0): 4, (0, 1): 0})
    assert not emptied(table, {0: 4, 1: 0})
    assert [one.class_name for one in emptied(table, {0: 4, 1: 1})] == ["bee"]


def test_a_class_falls_short_by_the_gan_that_has_fewest() -> None:
    table = judged_by_class({(0, 0): 9, (3, 0): 5, (0, 1): 0, (3, 1): 9})
    assert shortfalls(table, {0: 5, 1: 0}) == {}
    assert shortfalls(table, {0: 8, 1: 0}) == {"ant": Shortfall(8, 5, 3)}  # 10/5 and a tenth

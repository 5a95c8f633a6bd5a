"""What attacks reach and what is spent stand among the figures of a pipeline's run."""

from __future__ import annotations

from tasks.adapters.tracking.pipeline import _lift_metrics
from tasks.adapters.tracking.pipeline_note import describe
from tests.answer.fake_report import fake_lift
from tests.answer.fake_sharing import GUARANTEE, membership, shared

LEAKS = {"attack_nearest_auc", "attack_discriminator_auc"}
RATES = {"attack_nearest_tpr", "attack_discriminator_tpr"}


def test_a_run_has_the_figures_that_were_measured() -> None:
    without = set(dict(_lift_metrics(fake_lift())))
    assert set(dict(_lift_metrics(shared()))) - without == LEAKS | RATES
    assert set(dict(_lift_metrics(shared(membership(tpr=None))))) - without == LEAKS
    private = dict(_lift_metrics(shared(guarantee=GUARANTEE)))
    assert set(private) - without == {*LEAKS, *RATES, "epsilon"}
    assert (private["epsilon"], private["attack_nearest_auc"]) == (8.23, 0.65)


def test_its_description_says_whether_they_may_be_shared() -> None:
    tags = {"ganlift.dataset": "digits"}
    for lift, said in (
        (shared(), "share neither the GANs nor their images"),
        (shared(guarantee=GUARANTEE), "can be shared under"),
    ):
        assert said in describe(lift, tags, "1", "ab" * 16, "", [])
    assert "shared" not in describe(fake_lift(), tags, "1", "ab" * 16, "", [])

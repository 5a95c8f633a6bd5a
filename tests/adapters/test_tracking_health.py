"""What a GAN run says of its images and its health, read back from the store."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks.adapters.tracking.gan import gan_run, health_tag
from tasks.adapters.tracking.past_runs import events_of
from tasks.contracts.evaluation import GanEvaluation
from tasks.contracts.params.line import load_params
from tasks.gan.health import Watch
from tests.adapters.fake_results import DATASET, REPOSITORY, curve
from tests.adapters.logged import checkpoint, client, runs_of


def test_evaluations_and_health_read_back(paths: dict[str, Path]) -> None:
    classes = ["a b", "a_b", "A/b", "..", "<b>|x*"]
    by_class = {name: {"coverage": 0.1 * k} for k, name in enumerate(classes)}
    with gan_run(dataset=DATASET, gan_seed=0, params={}, train=paths["train"]) as run:
        run.tick({"kimg": 2.0, **curve(0, 1)}, None)
        run.evaluated(2.0, GanEvaluation({"kid": 0.5, "fid": 7.0}, by_class))
        run.evaluated(4.0, GanEvaluation({"kid": 0.25, "fid": 6.0}, by_class))
        run.health(["2 kimg: diverged (loss_d is no finite number)"], classes)
        run.finish(paths["gan"] / "0", checkpoint(paths, 0))
    (logged,) = runs_of("gan")
    history = client().get_metric_history(logged.info.run_id, "eval/kid")
    assert [(m.step, m.value) for m in history] == [(2000, 0.5), (4000, 0.25)]
    of_class = {k: v for k, v in logged.data.metrics.items() if k.startswith("eval/coverage/")}
    assert sorted(of_class.values()) == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])  # none lost
    assert of_class["eval/coverage/a_b"] == 0.0
    health = logged.data.tags["ganlift.health"]
    assert health == "collapsed: a b, a_b, A/b, .., <b>|x*; rolled back 1x"
    note = logged.data.tags["mlflow.note.content"]
    assert "no finite number" in note
    assert "\n\nThe GAN with seed 0" in note  # not a part of the list above it
    assert "a b, a_b, A/b" in note
    assert "<b>" not in note


def test_a_run_that_is_well_says_so_and_a_killed_store_does_not_lose_it(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def down(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    with gan_run(dataset=DATASET, gan_seed=0, params={}, train=paths["train"]) as run:
        run.evaluated(2.0, GanEvaluation({"kid": 0.5}, {}))
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_batch", down)
            run.health([], [])
        assert "No space left" in capsys.readouterr().err
        run.finish(paths["gan"] / "0", checkpoint(paths, 0))
    (logged,) = runs_of("gan")
    assert logged.data.tags["ganlift.health"] == "ok"
    assert logged.data.metrics["eval/kid"] == 0.5
    assert "Training had problems" not in logged.data.tags["mlflow.note.content"]


def test_the_tag_understands_what_training_notes_and_what_is_kept() -> None:
    watch = Watch(load_params(REPOSITORY / "params.yaml").train_gan.health)
    for kimg in (2.0, 4.0):
        watch.roll_back(kimg, "loss_d is no finite number")
    flat = GanEvaluation({}, {"a": {"coverage": 0.0, "diversity": 0.0, "coverage_real": 1.0}})
    while not watch.evaluated(6.0, flat):
        pass
    tag = health_tag(watch.events, watch.collapsed)
    assert tag == "collapsed: a; rolled back 2x; stopped early"
    entry = {"rollbacks": watch.rollbacks, "stopped_early": True}
    assert health_tag(events_of(entry), watch.collapsed) == tag
    assert health_tag(watch.events[:1], ()) == "rolled back 1x"

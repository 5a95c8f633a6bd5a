from __future__ import annotations

import dataclasses
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

from flows import former, plan
from flows.durations import Durations
from flows.edit_params import edited
from flows.line import STAGES
from flows.presets import preset_settings
from flows.run import choose_settings
from tasks.contracts.outputs import published
from tasks.contracts.params.line import Params, parse_params
from tasks.contracts.params.reading import read_values
from tasks.planning.clock import Costs, StageTime, stage_times
from tasks.planning.looks import look
from tests.contracts.tiny import draw_shape, tiny_params

REPOSITORY = Path(__file__).parents[2]

PARAMS = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure the time of a step over few of them: no test here asks how long one takes.

    Where the processor has no instructions for bfloat16, each takes a second at 32 pixels.
    """
    fewer = {"_PAIRS": 1, "_SHORT": 1, "_LONG": 2, "_PROBED": 60, "_TICK_STEPS": 1}
    for name, number in fewer.items():
        monkeypatch.setattr(f"tasks.planning.clock.{name}", number)


STEP = {"plain": 0.1, "classical": 0.1}
COSTS = Costs(0.5, 1.0, 0.01, STEP, dict.fromkeys(STEP, 0.2), 0.001, 0.003, 0.5)


@pytest.fixture
def known_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "measured", lambda *_: COSTS)
    monkeypatch.setattr(plan, "reduced_gain", lambda *_: 1.0)  # slow where emulated


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """64-px shapes in class folders, 12 of each."""
    import numpy as np
    from PIL import Image

    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)  # makes it a project
    rng = np.random.default_rng(0)
    for kind in ("circle", "square"):
        (tmp_path / "shapes" / kind).mkdir(parents=True)
        for number in range(12):
            pixels = draw_shape(kind, rng, size=64)[:, :, 0]
            Image.fromarray(pixels).save(tmp_path / "shapes" / kind / f"{number}.png")
    return tmp_path / "shapes"


def written(settings: tuple[str, ...], text: str = PARAMS) -> Params:
    return parse_params(yaml.safe_load(edited(text, settings)))


def test_the_shipped_settings_are_the_params_as_committed() -> None:
    assert plan.DEFAULTS.read_text(encoding="utf-8") == PARAMS


@pytest.mark.usefixtures("known_costs")
def test_another_source_takes_its_plan_and_nothing_of_the_one_before(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = edited(PARAMS, ["train_gan.total_kimg=7", "report.primary_metric='recall:5'"])
    settings, seconds = plan.settings_for(shapes, tmp_path, ["train_gan.width=8"], before)
    found = written(settings, before)
    assert found.ingest.source == "shapes"
    assert (found.ingest.image_size, found.ingest.per_class) == (32, None)
    assert found.train_gan.total_kimg == 120
    assert found.train_gan.width == 8
    assert found.report.primary_metric == "balanced_accuracy"
    shown = capsys.readouterr().out
    assert "ingest.image_size=32" in shown
    assert "median" in shown
    assert "Time on this machine" in shown
    assert "This cannot answer your question" in shown
    assert tuple(seconds) == STAGES


@pytest.mark.usefixtures("known_costs")
def test_a_new_source_is_told_how_long_is_left_of_the_whole_line_from_its_first_stage_on(
    shapes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With folds the plan speaks of all of them, and a line visits them one by one."""
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    shown: list[StageTime] = []
    show = plan.show_times
    monkeypatch.setattr(plan, "show_times", lambda *of: shown.extend(times := show(*of)) or times)
    choose_settings(tmp_path, shapes, ("ingest.folds=2",)).write(tmp_path)
    durations = Durations(tmp_path, STAGES, read_values(tmp_path / "params.yaml"))
    every = sum(one.seconds for one in shown)
    assert durations.later([*STAGES, *STAGES]) == pytest.approx(every, abs=1.0)
    assert "over 2 folds" in capsys.readouterr().out


@pytest.mark.usefixtures("known_costs")
def test_a_long_plan_offers_a_shorter_one_and_tells_its_time(
    shapes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(plan, "measured", lambda *_: dataclasses.replace(COSTS, gan_step=2.0))
    plan.settings_for(shapes, tmp_path, (), PARAMS)
    offer = " ".join(capsys.readouterr().out.partition("shorter run of about ")[2].split())
    less = [part for part in shlex.split(offer.partition(": ")[2]) if "=" in part][:3]
    assert [setting.partition("=")[0] for setting in less] == [
        "ingest.per_class", "train_gan.seeds", "ingest.folds",
    ]  # fmt: skip
    _, seconds = plan.settings_for(shapes, tmp_path, less, PARAMS)
    assert offer.startswith(f"{plan.told(sum(seconds.values()))}, which finds larger lifts only")


@pytest.mark.usefixtures("known_costs")
@pytest.mark.parametrize(("steps", "offered"), [(20_000, True), (200, False)])
def test_settings_that_stand_are_offered_shorter_trainings_where_that_saves_time(
    shapes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    steps: int,
    offered: bool,
) -> None:
    monkeypatch.setattr(plan, "_LONG_SECONDS", 60)
    gan = ["train_gan.seeds=[0, 1]", "train_gan.total_kimg=1"]
    own = ["ingest.source=shapes", f"retrain.steps={steps}", f"retrain.most_steps={steps}", *gan]
    (tmp_path / "params.yaml").write_text(edited(PARAMS, own), encoding="utf-8")
    plan.show_plan(tmp_path, shapes, [])
    _, found, offer = capsys.readouterr().out.partition("shorter run of about ")
    assert bool(found) == offered
    assert ("retrain.steps=200" in offer) == offered


@pytest.mark.usefixtures("known_costs")
def test_ones_own_setting_wins_and_is_told_as_such(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["ingest.image_size=16"]
    found = written(plan.settings_for(shapes, tmp_path, own, PARAMS)[0])
    assert found.ingest.image_size == 16
    assert found.train_gan.total_kimg == 88  # which follows from the size asked for
    assert "as you asked" in capsys.readouterr().out


def test_the_same_source_keeps_its_settings(shapes: Path, tmp_path: Path) -> None:
    there = edited(PARAMS, ["ingest.source=shapes", "ingest.image_size=16"])
    (tmp_path / "params.yaml").write_text(there, encoding="utf-8")
    chosen = choose_settings(tmp_path, shapes, ())
    assert chosen.params == parse_params(yaml.safe_load(there))
    assert not chosen.changes


@pytest.mark.usefixtures("known_costs")
def test_the_built_in_digits_get_their_settings_back(shapes: Path, tmp_path: Path) -> None:
    digits = tmp_path / plan.default_source()
    digits.parent.mkdir(parents=True)
    shutil.copy(REPOSITORY / plan.default_source(), digits)
    other = edited(PARAMS, plan.settings_for(shapes, tmp_path, (), PARAMS)[0])
    settings, seconds = plan.settings_for(digits, tmp_path, (), other)
    assert not seconds
    assert edited(other, settings) == PARAMS


def test_times_follow_the_counts(shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    seen = look(shapes)

    def seconds(**sections: dict[str, object]) -> dict[str, StageTime]:
        times = stage_times(seen, tiny_params(**sections), COSTS)
        return {one.stage: one for one in times}

    gan = {"total_kimg": 0.08, "seeds": [0, 1], "device": "cpu"}  # 10 steps
    one, two = (
        seconds(train_gan=gan | {"seeds": seeds})["train_gan"].seconds
        for seeds in ([0, 1], [0, 1, 2])
    )
    assert two - one == pytest.approx(10 * 0.5 + 1.0, abs=2.0)  # a second round on two cores
    sought, not_sought = (
        seconds(ingest={"image_size": 16, "twins": twins})["ingest"].seconds
        for twins in (0.85, None)
    )
    assert sought - not_sought == pytest.approx(24 * 24 * 5e-8, rel=0.01)  # pairs of hashes
    every, few = (
        seconds(ingest={"per_class": per_class})["validate"].seconds for per_class in (None, 2)
    )
    train = seen.expected(tiny_params().ingest)["train"].values()
    judged = sum(train) - 2 * len(train)
    assert every - few == pytest.approx(0.5 * judged / 2**0.5)  # their labels, on two cores
    lengths = seconds(retrain={"steps": 10, "most_steps": 80})["retrain"]
    assert lengths.least < lengths.seconds < lengths.most


@pytest.mark.parametrize("preset", [None, "private"])
def test_a_plan_is_shown_whole_and_writes_nothing(
    preset: str | None,
    shapes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    small = ["ingest.image_size=8", "train_gan.seeds=[0]", "retrain.recipes=[plain]"]
    if preset is not None:
        cheap = ("train_gan.total_kimg=2", "train_gan.batch_size=16", "train_gan.width=4")
        small = [*preset_settings(preset), *small, *cheap]
        monkeypatch.setattr(  # a worker would import the numbers of steps as they are
            "tasks.planning.clock.spread", lambda task, jobs: (task(*job) for job in jobs)
        )
    monkeypatch.setattr("tasks.planning.clock._GAN_SECONDS", 0.0)
    plan.show_plan(tmp_path, shapes, small)
    shown = capsys.readouterr().out
    assert "24 labelled images in 2 classes" in shown
    assert all(stage in shown for stage in ("ingest", "train_gan", "retrain", "report"))
    assert "This cannot answer your question" in shown
    assert (tmp_path / "params.yaml").read_text(encoding="utf-8") == PARAMS


def test_reports_of_the_data_set_before_are_moved_and_foreign_files_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reports = {"page": Path("reports/lift.html"), "table": Path("reports/lift.json")}
    with published("report", reports) as aside:
        for path in aside.values():
            path.write_text("ours", encoding="utf-8")
    Path("reports/lift.json").write_text("changed by hand", encoding="utf-8")
    Path("reports/notes.txt").write_text("a person's", encoding="utf-8")
    outs = [("report", path) for path in reports.values()]
    monkeypatch.setattr(former, "_reports", lambda _: outs)
    place = former.set_aside(tmp_path, "/photos/cups")
    assert place == Path(".ganlift/former/cups-1")
    assert (tmp_path / place / "lift.html").read_text(encoding="utf-8") == "ours"
    assert {path.name for path in Path("reports").iterdir()} == {"lift.json", "notes.txt"}
    assert former.set_aside(tmp_path, "/photos/cups") is None


def test_reports_are_moved_by_what_the_lock_says_and_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run may be killed after params.yaml names other images, or as it moves the reports."""
    monkeypatch.chdir(tmp_path)
    reports = {name: Path(f"reports/{name}.html") for name in ("first", "second")}
    reports["fold"] = Path("folds/lift.html")
    with published("report", reports) as aside:
        for path in aside.values():
            path.write_text("ours", encoding="utf-8")
    outs = [("report", path) for path in reports.values()]
    monkeypatch.setattr(former, "_reports", lambda _: outs)
    former.make_room(tmp_path, "/photos/forks")  # nothing ran
    ran = {"params": {"params.yaml": {"ingest": {"source": "/photos/cups"}}}}
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"ingest": ran}}), encoding="utf-8")
    of_folds = {"params": {"params.yaml": {"ingest": {"source": "/photos/forks"}}}}
    Path("folds/dvc.lock").write_text(yaml.safe_dump({"stages": {"ingest@1": of_folds}}))
    assert all(path.exists() for path in reports.values())

    move, moved = shutil.move, []

    def killed(path: Path, target: Path) -> Path:
        if moved:
            raise KeyboardInterrupt
        moved.append(path)
        return move(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "move", killed)
        with pytest.raises(KeyboardInterrupt):
            former.make_room(tmp_path, "/photos/forks")
    former.make_room(tmp_path, "/photos/forks")
    place = tmp_path / former.FORMER / "cups-1"
    assert {path.name for path in place.iterdir()} == {"first.html", "second.html"}
    assert reports["fold"].exists()  # of forks already
    former.make_room(tmp_path, "/photos/forks")
    assert [path.name for path in place.parent.iterdir()] == ["cups-1"]

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from flows import display as shows
from flows.display import display, told_left
from flows.durations import FILE, Durations, Place

STAGES = ("ingest", "train_gan", "report")
VALUES = {"seed": 0, "ingest": {"size": 8}, "train_gan": {"kimg": 1}, "report": {"level": 0.9}}


def test_the_line_has_a_time_only_where_every_later_stage_has_one(tmp_path: Path) -> None:
    durations = Durations(tmp_path, STAGES, VALUES)
    assert durations.later(["train_gan", "report"]) is None
    durations.add("train_gan", 200.0)
    durations.add("report", 40.0)
    again = Durations(tmp_path, STAGES, VALUES)
    assert again.later(["train_gan", "report"]) == 240.0
    assert again.later([]) == 0.0


def test_a_plan_tells_of_stages_that_never_ran_by_these_settings(tmp_path: Path) -> None:
    durations = Durations(tmp_path, STAGES, VALUES)
    durations.add("ingest", 5.0)
    durations.expect({"ingest": 50.0, "train_gan": 200.0, "report": 40.0})
    assert durations.later(["ingest"]) == 5.0
    assert durations.later(["train_gan", "report"]) == 240.0
    durations.add("train_gan", 300.0)  # now it has run
    assert Durations(tmp_path, STAGES, VALUES).later(["train_gan", "report"]) == 340.0


@pytest.mark.parametrize(
    ("changed", "known"),
    [
        ({"report": {"level": 0.8}}, {"train_gan"}),
        ({"train_gan": {"kimg": 2}}, set()),
        ({"ingest": {"size": 16}}, set()),
        ({"seed": 1}, set()),
    ],
)
def test_times_by_other_settings_are_not_taken(
    changed: dict[str, object], known: set[str], tmp_path: Path
) -> None:
    durations = Durations(tmp_path, STAGES, VALUES)
    for stage in ("train_gan", "report"):
        durations.add(stage, 10.0)
    other = Durations(tmp_path, STAGES, VALUES | changed)
    assert {s for s in ("train_gan", "report") if other.later([s]) is not None} == known


def test_a_damaged_record_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_text("{")
    assert Durations(tmp_path, STAGES, VALUES).later(["report"]) is None


@pytest.mark.parametrize(
    ("later", "seconds", "words"),
    [
        (None, None, "stage 3 of 8"),
        (None, 240.0, "stage 3 of 8, about 4 min left in it"),
        (120.0, 240.0, "stage 3 of 8, about 6 min left"),
    ],
)
def test_what_is_left_is_of_the_line_where_it_can_be_told(
    later: float | None, seconds: float | None, words: str
) -> None:
    assert told_left(Place(3, 8, later), seconds) == words


@pytest.mark.parametrize("terminal", [False, True])
def test_logs_and_terminals_tell_the_stage_and_the_time(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shows, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(shows.Clock, "left", lambda *_: 240.0)
    console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
    with display("train_gan", console, Place(3, 8, 60.0)) as shown:
        shown.share(0.5, "GAN 0: 5 kimg, samples .ganlift/train_gan/a/0/grids/5.png")
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue()
    for text in ("stage 3 of 8, about 5 min left", "samples .ganlift/train_gan/a/0/grids/5.png"):
        assert text in told

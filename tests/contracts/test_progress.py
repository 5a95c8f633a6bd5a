from __future__ import annotations

import io
from contextlib import redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.progress import Clock, in_words, parse_line, part, progress

ONE_LINE = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=40)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(share=st.floats(-1, 2), text=ONE_LINE)
def test_what_is_written_is_read_back(share: float, text: str) -> None:
    with redirect_stdout(io.StringIO()) as out, progress("merge") as report:
        report(share, text)
        report(1.0, text)
    *_, last = out.getvalue().splitlines()
    assert parse_line(last) == (1.0, text)
    for line in out.getvalue().splitlines():
        parsed = parse_line(line)
        assert parsed is not None
        assert parsed[0] in (1.0, pytest.approx(min(max(share, 0), 1), abs=5e-4))


def test_many_reports_give_few_lines_but_always_the_last() -> None:
    with redirect_stdout(io.StringIO()) as out, progress("merge") as report:
        for step in range(1, 20_001):
            report(step / 20_000, f"{step}")
    lines = out.getvalue().splitlines()
    assert len(lines) < 100
    assert lines[-1] == "progress 1.000 20000"


@pytest.mark.parametrize(
    "line",
    ["", "progress", "progress 0.5 x", "progress 0.500", " progress 0.500 x", "train 3, val 1"],
)
def test_any_other_line_is_none_of_its_business(line: str) -> None:
    assert parse_line(line) is None


def test_a_terminal_gets_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with redirect_stdout(Terminal()) as out, progress("merge") as report:
        report(0.5, "[bold]half")
    assert "[bold]half" in out.getvalue()  # text is shown as it is, no markup
    assert "merge" in out.getvalue()
    assert "progress 0" not in out.getvalue()


def test_time_left_is_elapsed_over_share_done() -> None:
    now = [100.0]
    clock = Clock(now=lambda: now[0])
    assert clock.left(0.0) is None
    now[0] = 160.0  # ticks until here; then an evaluation, in which nothing is told
    assert clock.left(0.25) == pytest.approx(180.0)
    now[0] = 220.0
    assert clock.left(0.25) == pytest.approx(360.0)
    assert clock.left(1.0) == 0.0


def test_what_was_expected_counts_until_a_tenth_is_done() -> None:
    now = [100.0]
    clock = Clock(120.0, lambda: now[0])
    assert clock.left(0.0) == 120.0
    now[0] = 110.0  # imports: a hundredth in ten seconds would be a quarter of an hour
    assert clock.left(0.01) == pytest.approx(0.99 * (0.9 * 120 + 0.1 * 1000))
    now[0] = 130.0
    assert clock.left(0.1) == pytest.approx(270.0)  # by what was seen alone
    assert clock.left(1.0) == 0.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (20, "less than 1 min left"),
        (250, "about 4 min left"),
        (9000, "about 2.5 h left"),
    ],
)
def test_time_left_is_told_as_one_would(seconds: float | None, words: str) -> None:
    assert in_words(seconds) == words


def test_the_parts_of_a_stage_make_one_share() -> None:
    told: list[float] = []
    whole = lambda share, _: told.append(share)  # noqa: E731
    for own, first, last in ((0.5, 0.0, 0.4), (1.0, 0.0, 0.4), (0.5, 0.4, 1.0), (2.0, 0.4, 1.0)):
        part(whole, first, last)(own, "")
    assert told == pytest.approx([0.2, 0.4, 0.7, 1.0])

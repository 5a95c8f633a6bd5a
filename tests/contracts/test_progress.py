from __future__ import annotations

import io
from contextlib import redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.progress import parse_line, progress

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

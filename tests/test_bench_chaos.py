"""What the bench of kills draws, notes and counts; the line it strikes is a fake."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from bench.chaos import CHANGES, SIGNALS, VICTIMS, Blow, Outcome, draw, strike, table
from bench.chaos_line import heed_signals


class FakeLine:
    """One that gets over everything but the rounds that it is told of."""

    def __init__(self, *fatal: int, nobody: tuple[int, ...] = ()) -> None:
        self._fatal, self._nobody, self.met = fatal, nobody, list[Blow]()

    def survive(self, blow: Blow) -> Outcome:
        self.met.append(blow)
        if blow.number in self._nobody:
            return Outcome(None, 1.0, ())
        faults = ("process left: 7 dvc",) if blow.number in self._fatal else ()
        return Outcome(f"a {blow.victim}", 10.0 * blow.number, faults)


def test_a_round_is_drawn_from_seed_and_number_alone() -> None:
    first = [draw(3, number) for number in range(1, 401)]
    assert draw(3, 17) == first[16]
    assert draw(4, 17) != first[16]
    met = Counter((blow.victim, blow.signal) for blow in first)
    assert met.keys() >= {(victim, name) for victim in VICTIMS for name in SIGNALS}
    assert {blow.change for blow in first} == {*CHANGES}
    assert not [b for b in first if b.victim == "worker" and b.change == "report.resamples"]
    assert all(0 <= blow.moment < 1 for blow in first)
    assert all(blow.scheduled for blow in first if blow.victim == "schedule")
    assert 40 < sum(blow.scheduled for blow in first) < 120


def test_the_round_that_fails_ends_the_bench_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = FakeLine(3)
    assert not strike(line, 5, range(1, 7), tmp_path / "rounds.jsonl")
    assert [blow.number for blow in line.met] == [1, 2, 3]
    printed = capsys.readouterr()
    assert "seed 5, round 3" in printed.err
    assert "round 3:" in printed.out.splitlines()[-1]
    assert "process left: 7 dvc" in printed.out
    assert "| all | | | 3 | 2 | |" in table(tmp_path / "rounds.jsonl")


def test_a_bench_that_goes_on_ends_as_one_that_was_never_stopped(tmp_path: Path) -> None:
    parts, whole = tmp_path / "parts.jsonl", tmp_path / "whole.jsonl"
    strike(FakeLine(3), 5, range(1, 9), parts)
    assert strike(FakeLine(), 5, range(3, 9), parts)  # mended
    assert strike(FakeLine(), 5, range(1, 9), whole)
    assert table(parts) == table(whole)


def test_a_round_without_a_victim_is_no_kill(tmp_path: Path) -> None:
    results = tmp_path / "rounds.jsonl"
    assert strike(FakeLine(nobody=(2,)), 5, range(1, 4), results)
    assert "| all | | | 2 | 2 | |" in table(results)
    blow = draw(5, 3)
    where = "schedule" if blow.scheduled else "run"
    assert f"| {where} | {blow.victim} | {blow.signal} | 1 | 1 | 30 |" in table(results)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_what_is_struck_heeds_what_the_bench_itself_ignores(number: signal.Signals) -> None:
    """As under ``nohup`` or ``&``: its children would ignore it, too, and no blow would land."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with subprocess.Popen(["sleep", "60"], preexec_fn=heed_signals) as struck:
            struck.send_signal(number)
            assert struck.wait(timeout=10) == -number
    finally:
        signal.signal(number, before)

"""The bench of the flow's overhead sets commands side by side in one session."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from bench import overhead

HOLDER = "import sys; kept = b'x' * 60_000_000; print('held', flush=True); sys.stdin.read()"


def test_commands_are_measured_by_turns_and_set_against_the_first() -> None:
    taken: list[Sequence[str]] = []
    seconds = iter([2.0, 6.0, 4.0, 20.0, 3.0, 9.0])

    def take(command: Sequence[str]) -> overhead.Taken:
        taken.append(command)
        clock = next(seconds)
        return overhead.Taken(clock, clock / 2 if command == ("a",) else clock)

    found = overhead.in_turn({"dvc repro": ("a",), "ganlift run": ("b",)}, 3, take)
    assert taken == [("a",), ("b",)] * 3
    rows = overhead.table("nothing new", found)
    assert rows[2:] == [
        "| dvc repro | 3.00 s | 1.00 | 1.50 s | 1.00 |",
        "| ganlift run | 9.00 s | 3.00 | 9.00 s | 6.00 |",
    ]
    said = overhead.of_each_stage(found, 8)
    assert said == "The flow adds 0.75 s a stage by the clock, 0.94 s of a processor."


def test_memory_is_that_of_all_processes_of_a_session_with_shared_pages_split() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = overhead.proportional_bytes(process.pid)
        process.kill()
    assert 60_000_000 < found < 150_000_000
    assert overhead.proportional_bytes(process.pid) == 0

"""What the flow costs over its stages: ``python -m bench.overhead PROJECT``.

PROJECT is a folder in which the pipeline has run. It is copied first, and only the copy is used.
All rows of a table are measured in turn in one session, so that a busy machine slows all alike;
the processor's seconds tell what the clock's do not where others are at work.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from flows.child import child, environment, lines
from flows.prefect_server import CHOSEN_BY_USER

DVC = (sys.executable, "-m", "dvc")
FLOW = (sys.executable, "-c", "from flows.cli import main; main()")
NOTHING_NEW = {"dvc repro": (*DVC, "repro"), "ganlift run": (*FLOW, "run")}
WORKERS = 2
_OF_CHILDREN = ("children_user", "children_system")


class Taken(NamedTuple):
    """Seconds by the clock, and of the processors in a command and all that it waited for."""

    clock: float
    processor: float


def taken_by(command: Sequence[str], root: Path) -> Taken:
    """Return how long a command takes in a project, which must succeed."""
    started, before = time.monotonic(), os.times()
    own = {name: value for name, value in environment().items() if name not in CHOSEN_BY_USER}
    ended = subprocess.run(command, cwd=root, env=own, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(command[2:])} failed:\n{ended.stdout}{ended.stderr}")
    after = os.times()
    own, system = (getattr(after, name) - getattr(before, name) for name in _OF_CHILDREN)
    return Taken(time.monotonic() - started, own + system)


def in_turn(
    commands: Mapping[str, Sequence[str]], rounds: int, take: Callable[[Sequence[str]], Taken]
) -> dict[str, list[Taken]]:
    """Return what ``take`` finds for each command, the commands by turns in every round."""
    found: dict[str, list[Taken]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(take(command))
    return found


def table(what: str, found: Mapping[str, Sequence[Taken]]) -> list[str]:
    """Return rows in Markdown: medians with their ratio to the first row's."""
    first = _medians(next(iter(found.values())))
    rows = [f"| {what} | clock | ratio | processor | ratio |", "|---|---|---|---|---|"]
    for name, values in found.items():
        cells = (
            f"{middle:.2f} s | {middle / least:.2f}"
            for middle, least in zip(_medians(values), first, strict=True)
        )
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def of_each_stage(found: Mapping[str, Sequence[Taken]], stages: int) -> str:
    """Return what the flow adds to every stage that runs, from the medians of a forced line."""
    dvc, flow = (_medians(found[name]) for name in NOTHING_NEW)
    clock, processor = ((more - less) / stages for more, less in zip(flow, dvc, strict=True))
    return f"The flow adds {clock:.2f} s a stage by the clock, {processor:.2f} s of a processor."


def _medians(values: Sequence[Taken]) -> Taken:
    return Taken(*map(statistics.median, zip(*values, strict=True)))


def proportional_bytes(session: int) -> int:
    """Return the proportional set size of a session's processes: shared pages are split."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(process.name)) == session:
                text = (process / "smaps_rollup").read_text()
                total += sum(
                    int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")
                )
        except (OSError, ValueError):  # it has ended meanwhile
            continue
    return 1024 * total


def peak_of_retrain(root: Path) -> tuple[float, int]:
    """Return the seconds and the most bytes that stage retrain and its workers take together."""
    shutil.rmtree(root / ".ganlift" / "kept", ignore_errors=True)  # or nothing is fitted
    os.environ["LOKY_MAX_CPU_COUNT"] = str(WORKERS)
    most, started = 0, time.monotonic()

    with child((*DVC, "repro", "-s", "-f", "retrain"), subprocess.PIPE, root) as process:

        def look() -> None:
            nonlocal most
            most = max(most, proportional_bytes(process.pid))

        heard = list(lines(process, meanwhile=look))
        status = process.wait()
    if status != 0:
        raise SystemExit("\n".join(["dvc repro -s -f retrain failed:", *heard]))
    return time.monotonic() - started, most


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.overhead", description=__doc__)
    parser.add_argument("project", type=Path, help="a folder in which the pipeline has run")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--forced", action="store_true", help="also time a line that runs again")
    parser.add_argument("--memory", action="store_true", help="also fit retrain's classifiers")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "project"
        shutil.copytree(asked.project, root, symlinks=True)
        sections = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]

        def take(command: Sequence[str]) -> Taken:
            return taken_by(command, root)

        print(*table("nothing new", in_turn(NOTHING_NEW, asked.rounds, take)), "", sep="\n")
        if asked.forced:
            forced = {name: (*command, "--force") for name, command in NOTHING_NEW.items()}
            found = in_turn(forced, asked.rounds, take)
            print(*table(f"{len(sections)} stages run again", found), "", sep="\n")
            print(of_each_stage(found, len(sections)))
        if asked.memory:
            seconds, most = peak_of_retrain(root)
            print(f"retrain with {WORKERS} workers: {most / 1e9:.2f} GB (PSS) in {seconds:.0f} s")


if __name__ == "__main__":
    main()

"""Is every kill survived, and does the line then end with the bytes of an undisturbed one?

    python -m bench.chaos --kills 100 --seed 0
    python -m bench.chaos --kills 100 --seed 0 --from 37

Each round changes a setting of a tiny line on the built-in digits, starts its stale part or a
schedule that does, kills one of its processes at a random moment, and lets the next run go on at
once. That one must complete, with the same bytes, and leave no process, lock, slot or running run.
The first round that fails ends the bench with status 1: its project stays as it is, and ``--from``
goes on there.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

SIGNALS = ("KILL", "TERM", "INT", "HUP")
VICTIMS = ("flow", "dvc", "stage", "worker")
SCHEDULED = 0.2  # share of the rounds whose line is run by a schedule
FRESH = 0.5  # share of the rounds that begin without kept GANs, classifier runs and run cache
CHANGES = {"seed": "ingest", "generate.per_class": "generate", "report.resamples": "report"}
"""The setting that a round changes, and the first stage that it makes stale."""
_OFTEN = ("seed", "generate.per_class")  # twice as often as the last, which has one stage to strike
RESULTS = "rounds.jsonl"


@dataclass(frozen=True)
class Blow:
    """What a round does, all of it drawn from the seed and the round's number.

    Attributes:
        number: of the round, from 1.
        victim: `flow`, `dvc`, `stage`, `worker`, or the `schedule` above them.
        signal: without its SIG.
        moment: when, as a share of the time that its stages take undisturbed.
        change: the setting that it changes, so that the results before are not those after.
        scheduled: whether a schedule runs it.
        fresh: whether what earlier runs have finished is taken away before.
    """

    number: int
    victim: str
    signal: str
    moment: float
    change: str
    scheduled: bool
    fresh: bool

    @property
    def signal_number(self) -> int:
        """Return the number of the signal."""
        return int(signal.Signals[f"SIG{self.signal}"])


@dataclass(frozen=True)
class Outcome:
    """How a round went.

    Attributes:
        struck: what died, as its command line begins; None where there was no such process.
        seconds: that the next run took to complete.
        faults: what was wrong afterwards, a line each.
    """

    struck: str | None
    seconds: float
    faults: tuple[str, ...]


class Line(Protocol):
    """What is struck."""

    def survive(self, blow: Blow) -> Outcome:
        """Start a run, strike, let the next one go on, and look."""
        ...


def draw(seed: int, number: int) -> Blow:
    """Return a round's blow; another round's, or a resumed bench, changes nothing in it."""
    chance = random.Random(f"{seed}/{number}")
    scheduled = chance.random() < SCHEDULED
    victim = chance.choice((*VICTIMS, "schedule") if scheduled else VICTIMS)
    return Blow(
        number=number,
        victim=victim,
        signal=chance.choice(SIGNALS),
        moment=chance.random(),
        change=chance.choice(_OFTEN if victim == "worker" else (*_OFTEN, *CHANGES)),
        scheduled=scheduled,
        fresh=chance.random() < FRESH,
    )


def strike(line: Line, seed: int, numbers: Iterable[int], results: Path) -> bool:
    """Play rounds and note each, until one fails; return whether all went well."""
    for number in numbers:
        blow = draw(seed, number)
        outcome = line.survive(blow)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"blow": asdict(blow), "outcome": asdict(outcome)}) + "\n")
        print(f"round {number}: {told(blow, outcome)}", flush=True)
        if outcome.faults:
            print(f"seed {seed}, round {number}: a run did not get over it", file=sys.stderr)
            return False
    return True


def told(blow: Blow, outcome: Outcome) -> str:
    """Return one round in a line."""
    where = "schedule" if blow.scheduled else "run"
    if outcome.struck is None and not outcome.faults:
        return f"{where}: there was no {blow.victim} to strike"
    after = "; ".join(outcome.faults) or f"next run whole after {outcome.seconds:.0f} s"
    return (
        f"{where}: {blow.signal} to {blow.victim} at {blow.moment:.0%} ({outcome.struck}): {after}"
    )


def table(results: Path) -> str:
    """Return victim by signal: kills, recoveries, mean seconds of the run that went on.

    Of a round that was played twice, as after a mend, the last counts; of one that found nobody to
    strike, nothing.
    """
    rounds: dict[int, tuple[Blow, Outcome]] = {}
    for text in results.read_text(encoding="utf-8").splitlines():
        noted = json.loads(text)
        blow, outcome = Blow(**noted["blow"]), Outcome(**noted["outcome"])
        rounds[blow.number] = blow, outcome
    cells: dict[tuple[str, str, str], list[Outcome]] = {}
    for blow, outcome in rounds.values():
        if outcome.struck is not None or outcome.faults:
            where = "schedule" if blow.scheduled else "run"
            cells.setdefault((where, blow.victim, blow.signal), []).append(outcome)
    rows = [
        "| line | victim | signal | kills | recoveries | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for (where, victim, name), found in sorted(cells.items()):
        well = [one.seconds for one in found if not one.faults]
        mean = f"{sum(well) / len(well):.0f}" if well else "–"
        rows.append(f"| {where} | {victim} | {name} | {len(found)} | {len(well)} | {mean} |")
    kills = sum(map(len, cells.values()))
    well_in_all = sum(not one.faults for found in cells.values() for one in found)
    return "\n".join([*rows, f"| all | | | {kills} | {well_in_all} | |"])


def main() -> None:
    """Play the rounds and print the table; status 1 where a run did not get over a kill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100, help="rounds in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", dest="first", type=int, default=1, metavar="ROUND")
    parser.add_argument("--folder", type=Path, help="of the project; by default a temporary one")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.gettempdir()) / f"ganlift-chaos-{given.seed}"
    from bench.chaos_line import TinyLine

    line = TinyLine(folder)
    well = strike(line, given.seed, range(given.first, given.kills + 1), folder / RESULTS)
    print(table(folder / RESULTS))
    sys.exit(not well)


if __name__ == "__main__":
    main()

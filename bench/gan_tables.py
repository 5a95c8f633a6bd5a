"""Rows of the quality bench as markdown tables: mean ± standard deviation over GAN seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from bench.contestants import DEFAULT, PLAIN
from bench.ledger import Row

Number = Callable[[Row], float | None]
REAL = "real"  # the contestant without a GAN
_NOTHING = "–"


def _final(name: str) -> Number:
    return lambda row: row["final"].get(name)


def _percent(name: str) -> Number:
    return lambda row: 100 * statistics.mean(row[name])


def _own(name: str) -> Number:
    return lambda row: row[name]


_JUDGED: dict[str, tuple[Number, int]] = {
    "KID": (_final("kid"), 4),
    "FID": (_final("fid"), 2),
    "precision": (_final("precision"), 2),
    "recall": (_final("recall"), 2),
    "density": (_final("density"), 2),
    "coverage": (_final("coverage"), 2),
    "diversity": (_final("diversity"), 2),
    "conditioning": (_final("conditioning"), 2),
    "synthetic only, %": (_percent("synthetic"), 1),
    "real+classical+synthetic, %": (_percent("real_synthetic"), 1),
    "copies": (_final("copy_rate"), 3),
    "real's copies": (_final("copy_rate_real"), 3),
    "images/s": (_own("images_per_second"), 0),
    "seconds": (_own("seconds"), 0),
}
_SYNTHETIC_ONLY = "synthetic only, %"
_COMPARED = ("KID", "coverage", "diversity", "conditioning", "copies")


def quality_table(rows: Sequence[Row]) -> str:
    """One line a task and contestant, with what real+classical alone reaches beside it."""
    lines = []
    for task, name in _groups(rows):
        mine = _of(rows, task, name)
        done = [row for row in mine if "failed" not in row]
        alone = [100 * score for row in _of(rows, task, REAL) for score in row["real"]]
        cells = [spread([number(row) for row in done], d) for number, d in _JUDGED.values()]
        count = f"{len(done)} of {len(mine)}"
        lines.append([task, name, count, *cells, spread(alone, 1)])
    return markdown(["task", "GAN", "seeds", *_JUDGED, "real+classical, %"], lines)


def reached_table(rows: Sequence[Row]) -> str:
    """When the default reaches the best KID that the plain GAN has at any time, by seed.

    Empty where the two have no seed in common.
    """
    lines = []
    for task in dict.fromkeys(row["task"] for row in rows):
        for plain, ours in _pairs(_of(rows, task, PLAIN), _of(rows, task, DEFAULT)):
            best = min(plain["path"], key=lambda look: look["kid"])
            there = next((look for look in ours["path"] if look["kid"] <= best["kid"]), None)
            line = [task, str(plain["seed"]), f"{best['kid']:.4f}"]
            line += [f"{best['kimg']:g}", f"{best['seconds']:.0f}"]
            line += (
                [f"{there['kimg']:g}", f"{there['seconds']:.0f}"] if there else [_NOTHING, _NOTHING]
            )
            lines.append(line)
    if not lines:
        return ""
    head = ["task", "seed", "plain's best KID", "at kimg", "at seconds"]
    return markdown([*head, "default there at kimg", "at seconds"], lines)


def techniques_table(rows: Sequence[Row]) -> str:
    """What each technique changes against the default of the same seed, over all tasks.

    Synthetic-only accuracy stands for each task alone, the rest as means over tasks and seeds.
    """
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    lines = []
    for name in dict.fromkeys(name for _, name in _groups(rows)):
        own = name == DEFAULT
        pairs = {task: _pairs(_of(rows, task, DEFAULT), _of(rows, task, name)) for task in tasks}
        every = [pair for of_task in pairs.values() for pair in of_task]
        cells = [_change(pairs[task], _SYNTHETIC_ONLY, own) for task in tasks]
        cells += [_change(every, column, own) for column in _COMPARED]
        speed = [new["images_per_second"] / old["images_per_second"] for old, new in every]
        counts = "; ".join(str(len(of_task)) for of_task in pairs.values())
        lines.append([f"**{name}**" if own else name, counts, *cells, spread(speed, 2)])
    alone = [f"{_SYNTHETIC_ONLY}, {task}" for task in tasks]
    return markdown(["technique", "seeds", *alone, *_COMPARED, "speed, times"], lines)


def _change(pairs: Sequence[tuple[Row, Row]], column: str, own: bool) -> str:
    """The mean difference of a column over pairs; the default's own cell holds its value."""
    number, decimals = _JUDGED[column]
    both = [(number(old), number(new)) for old, new in pairs]
    if own:
        return spread([new for _, new in both], decimals)
    changes = [new - old for old, new in both if old is not None and new is not None]
    return spread(changes, decimals, sign=True)


def failures(rows: Sequence[Row]) -> str:
    """One line for each GAN that could not be trained."""
    told = [row for row in rows if "failed" in row]
    return "\n".join(
        f"- {row['task']}, {row['contestant']}, seed {row['seed']}: {row['failed']}" for row in told
    )


def _groups(rows: Sequence[Row]) -> list[tuple[str, str]]:
    found = dict.fromkeys((row["task"], row["contestant"]) for row in rows)
    return [group for group in found if group[1] != REAL]


def _of(rows: Sequence[Row], task: str, contestant: str) -> list[Row]:
    return [row for row in rows if (row["task"], row["contestant"]) == (task, contestant)]


def _pairs(first: Sequence[Row], second: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Rows of equal seed, of which neither failed."""
    others = {row["seed"]: row for row in second if "failed" not in row}
    return [
        (row, others[row["seed"]]) for row in first if "failed" not in row and row["seed"] in others
    ]


def spread(values: Sequence[float | None], decimals: int, *, sign: bool = False) -> str:
    """Return ``mean ± standard deviation`` of values, without those that there are not."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return _NOTHING
    mean = f"{statistics.mean(numbers):{'+' if sign else ''}.{decimals}f}"
    if len(numbers) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(numbers):.{decimals}f}"


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

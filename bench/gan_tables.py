"""Rows of the quality bench as markdown tables: mean ± standard deviation over GAN seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from bench.contestants import DEFAULT, PLAIN
from bench.gan_jobs import Row

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
_COMPARED = (
    "KID",
    "precision",
    "coverage",
    "diversity",
    "conditioning",
    "synthetic only, %",
    "real+classical+synthetic, %",
    "copies",
)


def quality_table(rows: Sequence[Row]) -> str:
    """One line a task and contestant, with what real+classical alone reaches beside it."""
    lines = []
    for task, name in _groups(rows):
        mine = _of(rows, task, name)
        done = [row for row in mine if "failed" not in row]
        alone = [100 * score for row in _of(rows, task, REAL) for score in row["real"]]
        cells = [_spread([number(row) for row in done], d) for number, d in _JUDGED.values()]
        count = f"{len(done)} of {len(mine)}"
        lines.append([task, name, count, *cells, _spread(alone, 1)])
    return _markdown(["task", "GAN", "seeds", *_JUDGED, "real+classical, %"], lines)


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
    return _markdown([*head, "default there at kimg", "at seconds"], lines)


def techniques_table(rows: Sequence[Row]) -> str:
    """What each technique changes against the default of the same seed, task by task."""
    lines = []
    for task, name in _groups(rows):
        base = _of(rows, task, DEFAULT)
        if name == DEFAULT:
            done = [row for row in base if "failed" not in row]
            cells = [
                _spread([_JUDGED[c][0](row) for row in done], _JUDGED[c][1]) for c in _COMPARED
            ]
            lines.append([task, "**default**", str(len(done)), *cells, "1"])
            continue
        pairs = _pairs(base, _of(rows, task, name))
        cells = []
        for column in _COMPARED:
            number, decimals = _JUDGED[column]
            both = [(number(old), number(new)) for old, new in pairs]
            changes = [new - old for old, new in both if old is not None and new is not None]
            cells.append(_spread(changes, decimals, sign=True))
        speed = [new["images_per_second"] / old["images_per_second"] for old, new in pairs]
        lines.append([task, name, str(len(pairs)), *cells, _spread(speed, 2)])
    return _markdown(["task", "technique", "seeds", *_COMPARED, "speed, times"], lines)


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


def _spread(values: Sequence[float | None], decimals: int, *, sign: bool = False) -> str:
    numbers = [value for value in values if value is not None]
    if not numbers:
        return _NOTHING
    mean = f"{statistics.mean(numbers):{'+' if sign else ''}.{decimals}f}"
    if len(numbers) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(numbers):.{decimals}f}"


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)

"""What a GAN run says of itself: evaluations as metrics, its health as a tag and a note."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from tasks.adapters.tracking.names import plain, safe_part
from tasks.contracts.evaluation import GanEvaluation

TAG = "ganlift.health"
_TAG_LENGTH = 500  # a filter of MLflow's page, not a list to read
_DIVERGED, _STOPPED = "diverged", "stopped"  # words of `tasks.gan.health.Watch.events`


def evaluation_metrics(evaluation: GanEvaluation) -> dict[str, float]:
    """Return ``eval/kid`` and the like, and ``eval/coverage/<class>`` for each class.

    Classes whose names MLflow would take for one are numbered from the second on.
    """
    metrics = {f"eval/{safe_part(name)}": value for name, value in evaluation.overall.items()}
    taken: set[str] = set()
    for class_name, numbers in evaluation.by_class.items():
        part, number = safe_part(class_name), 1
        while part.lower() in taken:  # some stores fold case
            number += 1
            part = f"{safe_part(class_name)}-{number}"
        taken.add(part.lower())
        metrics |= {f"eval/{safe_part(name)}/{part}": value for name, value in numbers.items()}
    return metrics


def evaluations_of(table: pd.DataFrame) -> Iterator[tuple[float, GanEvaluation]]:
    """Yield kimg and evaluation from one GAN's rows of ``gan_evaluations.csv``.

    Args:
        table: kimg, class_name ("": over all classes), metric, value.
    """
    for kimg, rows in table.groupby("kimg"):
        overall: dict[str, float] = {}
        by_class: dict[str, dict[str, float]] = {}
        for name, metric, value in rows[["class_name", "metric", "value"]].itertuples(index=False):
            (by_class.setdefault(name, {}) if name else overall)[metric] = float(value)
        yield float(str(kimg)), GanEvaluation(overall, by_class)


def events_of(entry: Mapping[str, Any]) -> list[str]:
    """Return the events behind the counts that ``gan.json`` keeps of one GAN."""
    events = [f"{_DIVERGED}; back to the last good state"] * entry["rollbacks"]
    return events + ([f"{_STOPPED} early, collapsed"] if entry["stopped_early"] else [])


def health_tag(events: Sequence[str], collapsed: Sequence[str]) -> str:
    """Return ``ok``, or what went wrong: ``collapsed: a, b; rolled back 2x; stopped early``."""
    rollbacks = sum(_DIVERGED in event for event in events)
    said = [f"collapsed: {', '.join(collapsed)}"] if collapsed else []
    said += [f"rolled back {rollbacks}x"] if rollbacks else []
    said += ["stopped early"] if any(_STOPPED in event for event in events) else []
    text = "; ".join(said) or "ok"
    return text if len(text) <= _TAG_LENGTH else f"{text[:_TAG_LENGTH]}…"


def health_note(events: Sequence[str], collapsed: Sequence[str]) -> str:
    """Return the same for people, as markdown; empty where all is well."""
    said = [f"- {plain(event)}" for event in events]
    if collapsed:
        names = ", ".join(plain(name) for name in collapsed[:20])
        more = f" and {len(collapsed) - 20} more" if len(collapsed) > 20 else ""
        said.append(f"- collapsed classes, which show little but one image: {names}{more}")
    return "\n".join(["**Not well:**", "", *said, ""]) if said else ""

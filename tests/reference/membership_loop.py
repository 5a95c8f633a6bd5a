"""AUC and true-positive rate of an attack, pair by pair."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise


def rates(
    scores: Sequence[float],
    is_member: Sequence[bool],
    labels: Sequence[int],
    false_positives: float = 0.01,
) -> tuple[float, float]:
    """Others count by how much more frequent their class is among members."""
    rows = list(zip(scores, is_member, labels, strict=True))
    of_members = Counter(label for _, member, label in rows if member)
    of_others = Counter(label for _, member, label in rows if not member)
    members = [score for score, member, label in rows if member and of_others[label]]
    others = [
        (score, of_members[label] / of_others[label])
        for score, member, label in rows
        if not member and of_members[label]
    ]
    total = sum(weight for _, weight in others)

    def before(score: float) -> float:
        return sum(1.0 for m in members if m > score) / len(members)

    def tied(score: float) -> float:
        return sum(1.0 for m in members if m == score) / len(members)

    auc = sum(weight * (before(score) + tied(score) / 2) for score, weight in others) / total
    points, place = [(0.0, 0.0)], 0.0
    for score in sorted({score for score, _ in others}, reverse=True):
        weights = [weight / total for s, weight in others if s == score]
        for number in range(1, len(weights) + 1):  # in random order
            place += sum(weights) / len(weights) * len(others) / (len(others) + 1)
            share = number / (len(weights) + 1)
            points.append((place, before(score) + share * tied(score)))
    for (x, y), (further, higher) in pairwise(points):
        if further >= false_positives:
            return auc, y + (false_positives - x) / (further - x) * (higher - y)
    raise AssertionError("there is nobody beside the members")

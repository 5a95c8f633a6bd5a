"""What a person may have meant by a name that nobody knows."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from operator import itemgetter

_MOST_LISTED = 12
_NEAR, _NEAR_IN_SECTION = 0.6, 0.5  # of `difflib`'s ratio, 0 (nothing in common) to 1 (equal)


def nearest(given: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like ``given`` in any case, or None if none does."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(given.lower(), by_lower, n=1, cutoff=_NEAR)
    return by_lower[found[0]] if found else None


def choose(given: str, known: Collection[str]) -> str:
    """Return the mend of an unknown name: the nearest, or the names there are."""
    if near := nearest(given, known):
        return f"The nearest is {near}"
    return f"Choose one of {listed(known)}"


def listed(names: Collection[str]) -> str:
    """Return names in a row, the first of very many."""
    first = ", ".join(list(names)[:_MOST_LISTED])
    return first if len(names) <= _MOST_LISTED else f"{first} and {len(names) - _MOST_LISTED} more"


def nearest_key(given: str, keys: Iterable[str]) -> str | None:
    """Return the dotted key that ``given`` may stand for, or None.

    Section and name are compared apart: two keys of one section are not alike for that.
    """
    keys = list(keys)
    if short := [key for key in keys if key.endswith(f".{given}")]:
        return short[0]  # the section was left out
    section, _, name = given.rpartition(".")
    scored = list[tuple[float, str]]()
    for key in keys:
        own_section, _, own_name = key.rpartition(".")
        likeness = _ratio(name, own_name)
        if not section:
            enough = likeness >= _NEAR
        else:
            enough = likeness >= _NEAR_IN_SECTION and _ratio(section, own_section) >= _NEAR
            likeness += _ratio(section, own_section)
        if enough:
            scored.append((likeness, key))
    return max(scored, key=itemgetter(0))[1] if scored else None


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(a=a.lower(), b=b.lower()).ratio()

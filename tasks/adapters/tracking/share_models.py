"""Registered models: their versions, under the same numbers where these are free, and aliases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tasks.adapters.tracking.rows import Row, Sides, find, insert

if TYPE_CHECKING:
    from sqlalchemy import Connection

_DELETED = "Deleted_Internal"  # the stage of what MLflow keeps of a deleted version


def copy_models(sides: Sides) -> Iterator[str]:
    """Copy the versions that are not there, all of a model at once; made by the server if new."""
    for entry in sides.here.client().search_registered_models(max_results=1000):
        name = entry.name
        with sides.source.connect() as source:
            (model,) = find(source, "registered_models", "name", name)
            tags = find(source, "registered_model_tags", "name", name)
        with sides.target.connect() as target:
            known = find(target, "registered_models", "name", name)
        if not known:
            told = {tag["key"]: tag["value"] for tag in tags}
            sides.there.client().create_registered_model(name, told, model["description"])
        with sides.source.connect() as source, sides.target.begin() as target:
            lines = _copy_versions(source, target, name)
        yield from lines


def _copy_versions(source: Connection, target: Connection, name: str) -> list[str]:
    theirs = find(target, "model_versions", "name", name)
    known = {(row["run_id"], row["source"]): row["version"] for row in theirs}
    taken = {row["version"] for row in theirs}
    numbers, new, lines = dict[int, int](), set[int](), list[str]()  # numbers: here -> there
    ours = find(source, "model_versions", "name", name)
    tags = find(source, "model_version_tags", "name", name)
    for row in sorted(ours, key=lambda row: int(row["version"])):
        moves = _moves(source, target, row["run_id"])
        if row["current_stage"] == _DELETED or not moves:
            continue
        number = row["version"]
        for column in ("source", "storage_location"):
            row[column] = _moved(row[column], moves)
        if (row["run_id"], row["source"]) in known:
            numbers[number] = known[row["run_id"], row["source"]]
            continue
        free = number if number not in taken else max(taken) + 1
        taken.add(free)
        new.add(number)
        numbers[number] = free
        insert(target, "model_versions", [row | {"version": free}])
        of_version = [tag | {"version": free} for tag in tags if tag["version"] == number]
        insert(target, "model_version_tags", of_version)
        lines.append(f"model {name}: version {free}")
    for alias in find(source, "registered_model_aliases", "name", name):
        if alias["version"] in new:
            lines.append(_copy_alias(target, alias, numbers))
    return lines


def _copy_alias(target: Connection, alias: Row, numbers: dict[int, int]) -> str:
    """Set an alias to a version just copied, unless another's version has it there."""
    from sqlalchemy import text

    version, (name, of) = numbers[alias["version"]], (alias["name"], alias["alias"])
    there = find(target, "registered_model_aliases", "name", name)
    holder = next((row["version"] for row in there if row["alias"] == of), None)
    if holder is not None and holder not in numbers.values():
        return f"model {name}: version {holder} stays {of}, which comes from elsewhere"
    remove = text("DELETE FROM registered_model_aliases WHERE name = :name AND alias = :of")
    target.execute(remove, {"name": name, "of": of})
    insert(target, "registered_model_aliases", [alias | {"version": version}])
    return f"model {name}: version {version} is {of}"


def _moves(source: Connection, target: Connection, run_id: str | None) -> list[tuple[str, str]]:
    """Return where the files of a run and of its models lie, here and there."""
    found = []
    for table, key, by, address in (
        ("runs", "run_uuid", "run_uuid", "artifact_uri"),
        ("logged_models", "source_run_id", "model_id", "artifact_location"),
    ):
        here = {row[by]: row[address] for row in find(source, table, key, run_id)}
        there = {row[by]: row[address] for row in find(target, table, key, run_id)}
        found += [(here[one], there[one]) for one in here if one in there]
    return found


def _moved(address: str | None, moves: list[tuple[str, str]]) -> str | None:
    for before, now in moves:
        if address is not None and (address == before or address.startswith(f"{before}/")):
            return now + address.removeprefix(before)
    return address

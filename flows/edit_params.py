"""``--set SECTION.KEY=VALUE``: change values in ``params.yaml`` and not one byte beside them.

Sections nest: ``train_gan.penalties.r1=0.2`` reaches as deep as the file goes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from tasks.contracts.errors import UserError
from tasks.contracts.ground import refuse_own_ground
from tasks.contracts.nearest import nearest_key
from tasks.contracts.outputs import replace_text
from tasks.contracts.params.line import load_params, parse_params


def edited(text: str, settings: Sequence[str], name: str = "params.yaml") -> str:
    """Return the YAML ``text`` with every ``SECTION.KEY=VALUE`` of ``settings`` written into it.

    Only the values' own characters change: comments, blank lines and spacing stay.

    Raises:
        UserError: a setting without ``=``, an unknown key (naming the nearest valid one), a
            value that is no YAML, or a result that `parse_params` refuses.
    """
    places = _places(text)
    wanted = dict(_split(setting, list(places)) for setting in settings)  # the last of a key wins
    for key in sorted(wanted, key=lambda key: places[key].first, reverse=True):  # so places hold
        text = _replaced(text, places[key], _as_yaml(wanted[key]))
    parse_params(yaml.safe_load(text), name)
    return text


def edit_params(path: Path, settings: Sequence[str]) -> None:
    """Write ``settings`` into the file at ``path``, all of them or none.

    Raises:
        UserError: as `edited` and `load_params`.
    """
    load_params(path)  # a file that was broken before is reported as such
    with path.open(encoding="utf-8", newline="") as file:
        before = file.read()
    after = edited(before, settings, str(path))
    if after != before:
        replace_text(path, after)


def source_setting(source: Path, root: Path) -> str:
    """Return the setting that makes the folder ``source`` the data set, after looking at it.

    Inside ``root`` the path is written relative to it, so that a clone finds it too.

    Raises:
        UserError: as `check_source`.
    """
    source = Path(os.path.abspath(source))  # noqa: PTH100  keep links: their names are the user's
    written = source.relative_to(root) if source.is_relative_to(root) else source
    check_source(source, root)
    return f"ingest.source={_as_yaml(str(written))}"


def check_source(source: Path, root: Path) -> None:
    """See that ``source`` is there and not empty, before anything runs.

    Raises:
        UserError: no such folder or file, an empty folder, or one that overlaps what the pipeline
            writes.
    """
    refuse_own_ground(source, root)
    if not source.exists():
        raise UserError(
            f"source {source}", "no such folder", "Give a folder that holds one folder a class"
        )
    if source.is_dir() and next(source.iterdir(), None) is None:
        raise UserError(
            f"source {source}", "the folder is empty", "Put one folder of images a class into it"
        )


def _split(setting: str, valid: Sequence[str]) -> tuple[str, Any]:
    """Return (dotted key, value) of ``SECTION.KEY=VALUE``; ``valid`` lists every key there is."""
    key, equals, written = setting.partition("=")
    key = key.strip()
    if not equals:
        raise UserError(
            f"--set {setting}", "no value", "Write it as SECTION.KEY=VALUE, train_gan.total_kimg=40"
        )
    if key not in valid:
        raise UserError(f"--set {key}", "unknown key", _meant(key, valid))
    try:
        # The YAML that DVC reads (1.2): 1e-3 is a number and `no` a word.
        return key, YAML(typ="safe", pure=True).load(written)
    except YAMLError:
        raise UserError(
            f"--set {setting}", "the value is not readable as YAML", "Quote it, or mend it"
        ) from None


def _meant(key: str, valid: Sequence[str]) -> str:
    """Return the mend of an unknown key; sections are none, only what stands in them."""
    if inside := [name for name in valid if name.startswith(f"{key}.")]:
        return f"It is a section: set one of its keys, such as {inside[0]}"
    if above := [name for name in valid if key.startswith(f"{name}.")]:
        return f"{above[0]} is a single value: set that"
    if near := nearest_key(key, valid):
        return f"The nearest valid key is {near}"
    return "params.yaml lists every key, with what it does"


def _as_yaml(value: Any) -> str:
    """Write a plain value on one line."""
    line = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return line.removesuffix("\n").removesuffix("\n...")


@dataclass(frozen=True)
class _Place:
    """Where a value stands in the text: characters from ``first`` to before ``end``.

    Attributes:
        after_key: past the colon of its key, for a list written below it as a block; else None.
    """

    first: int
    end: int
    after_key: int | None


def _replaced(text: str, place: _Place, written: str) -> str:
    """Return the text with one value in another's place.

    A list in a block moves up beside its key: on its own line a value must be indented deeper
    than the key, and the block may not have been. The comment beside the key stays.
    """
    rest = text[place.end :]
    if place.after_key is None:
        space = " " if place.first == place.end else ""  # after a key that had no value
        return text[: place.first] + space + written + rest
    between = text[place.after_key : place.first].rstrip()
    return f"{text[: place.after_key]} {written}{between}{rest}"


def _places(text: str) -> Mapping[str, _Place]:
    """Return where each value stands in the text, by its dotted key."""
    root = YAML(pure=True).compose(text)
    return dict(_places_below(root, "")) if isinstance(root, MappingNode) else {}


def _places_below(section: MappingNode, prefix: str) -> Iterator[tuple[str, _Place]]:
    for key, value in section.value:
        name = f"{prefix}{key.value}"
        if isinstance(value, MappingNode):
            yield from _places_below(value, f"{name}.")
        else:
            block = isinstance(value, CollectionNode) and not value.flow_style
            first, end = value.start_mark.index, value_end(value)
            yield name, _Place(first, end, key.end_mark.index + 1 if block else None)


def value_end(node: Node) -> int:
    """Return the index in the text past a value's last character.

    A block ends, by its own mark, where the next key begins: what is last in it tells better.
    """
    while isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(node, MappingNode) else last
    end: int = node.end_mark.index
    return end

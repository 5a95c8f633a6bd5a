"""Settings that are new in this version enter a person's ``params.yaml`` with their defaults.

Nothing else in it changes, comments and spacing neither.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node

from flows.edit_params import value_end
from flows.presets import leaves
from tasks.contracts.errors import UserError
from tasks.contracts.outputs import replace_text
from tasks.contracts.params.line import load_params, parse_params
from tasks.contracts.params.reading import read_values

_MOST_VERSIONS = 100  # of params.yaml in a clone's history


def complete(path: Path, shipped: str, known: Collection[str] | None) -> list[str]:
    """Add the settings that are new since ``known``; a line that a person removed stays away.

    Args:
        path: ``params.yaml``.
        shipped: the text that this version ships.
        known: dotted keys that the version before had; None if that is not known.

    Returns:
        Lines that say what was added, and which settings are gone.
    """
    try:
        load_params(path)
        return []
    except UserError:
        pass
    try:
        present = _keys(read_values(path))
    except UserError:  # which is told by whoever needs it
        return []
    wanted = _keys(yaml.safe_load(shipped))
    new = [key for key in wanted if key not in present and key not in (known or ())]
    gone = [key for key in present if key not in wanted and (known is None or key in known)]
    said = []
    with path.open(encoding="utf-8", newline="") as file:
        before = file.read()
    after = added(before, shipped, new)
    if added_keys := [key for key in new if key in _keys(yaml.safe_load(after))]:
        replace_text(path, after)
        said.append(
            f"{path.name}: settings that are new in this version of ganlift were added with their "
            f"defaults: {', '.join(added_keys)}."
        )
    if gone:
        said.append(
            f"{path.name}: this version of ganlift has no {', '.join(gone)} any more. Remove "
            f"{'these settings' if len(gone) > 1 else 'this setting'}."
        )
    return said


def complete_clone(path: Path) -> list[str]:
    """Do the same in a clone of ganlift: what it ships, and what it knew, is in its history.

    Returns:
        Lines that say what was added; none where nothing lacks, or there is no history.
    """
    try:
        load_params(path)
        return []
    except UserError:
        pass
    known = _parsed(_git(path.parent, "show", f"HEAD:./{path.name}"))
    versions = _git(
        path.parent, "rev-list", "--full-history", f"-n{_MOST_VERSIONS}", "HEAD", "--", path.name
    )
    for commit in versions.split():
        text = _git(path.parent, "show", f"{commit}:./{path.name}")
        try:
            parse_params(_parsed(text))
        except UserError:
            continue
        return complete(path, text, _keys(known))
    return []


def added(text: str, shipped: str, new: Collection[str]) -> str:
    """Return ``text`` with the settings ``new`` where ``shipped`` has them, as it has them."""
    while (gap := _gap(_mapping(text), _mapping(shipped), "", new)) is not None:
        text = gap.filled(text, shipped)
    return text


@dataclass(frozen=True)
class _Gap:
    """A key, or a whole section, that a mapping lacks.

    Attributes:
        within: the mapping that lacks it.
        after: the value that it comes after; None if it comes first.
        key: in the shipped text.
        value: likewise.
    """

    within: MappingNode
    after: Node | None
    key: Node
    value: Node

    def filled(self, text: str, shipped: str) -> str:
        """Return the text with it."""
        if self.within.flow_style:
            written = f"{self.key.value}: {shipped[_first(self.value) : value_end(self.value)]}"
            place = value_end(self.within.value[-1][1])
            return f"{text[:place]}, {written}{text[place:]}"
        column = self.within.value[0][0].start_mark.column
        own = self.key.start_mark.column
        block = shipped[_first(self.key) - own : _line_end(shipped, value_end(self.value))]
        lines = [f"{' ' * column}{line[own:]}" for line in block.splitlines() if line.strip()]
        if self.after is None:
            place = _first(self.within.value[0][0]) - column
        else:
            place = _line_end(text, value_end(self.after))
        break_ = "\r\n" if "\r\n" in text else "\n"
        head = text[:place] if text[:place].endswith("\n") or not place else text[:place] + break_
        if column == 0 and isinstance(self.value, MappingNode):
            head += break_  # sections stand apart
        return head + "".join(f"{line}{break_}" for line in lines) + text[place:]


def _gap(own: MappingNode, shipped: MappingNode, prefix: str, new: Collection[str]) -> _Gap | None:
    there = {key.value: value for key, value in own.value}
    after = None
    for key, value in shipped.value:
        name = f"{prefix}{key.value}"
        if key.value not in there:
            if own.value and all(leaf in new for leaf in _leaves_of(value, name)):
                return _Gap(own, after, key, value)
            continue
        after = there[key.value]
        if isinstance(value, MappingNode) and isinstance(after, MappingNode):
            inner = _gap(after, value, f"{name}.", new)
            if inner is not None:
                return inner
    return None


def _leaves_of(value: Node, name: str) -> list[str]:
    if not isinstance(value, MappingNode):
        return [name]
    return [leaf for key, inner in value.value for leaf in _leaves_of(inner, f"{name}.{key.value}")]


def _mapping(text: str) -> MappingNode:
    root = YAML(pure=True).compose(text)
    assert isinstance(root, MappingNode)
    return root


def _first(node: Node) -> int:
    first: int = node.start_mark.index
    return first


def _line_end(text: str, place: int) -> int:
    return (text.find("\n", place) + 1) or len(text)


def _keys(values: Mapping[str, Any]) -> list[str]:
    return [key for key, _ in leaves(values, "")]


def _parsed(text: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return values if isinstance(values, dict) else {}


def _git(folder: Path, *arguments: str) -> str:
    """Return what git says; nothing where it is not there or knows nothing."""
    try:
        ended = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return ended.stdout if ended.returncode == 0 else ""

"""``--set SECTION.KEY=VALUE``: change values in ``params.yaml`` and not one byte beside them.

Sections nest: ``train_gan.penalties.r1=0.2`` reaches as deep as the file goes.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node

from tasks.contracts.errors import UserError
from tasks.contracts.ground import refuse_own_ground
from tasks.contracts.params.line import load_params, parse_params


def edited(text: str, settings: Sequence[str], name: str = "params.yaml") -> str:
    """Return the YAML ``text`` with every ``SECTION.KEY=VALUE`` of ``settings`` written into it.

    Only the values' own characters change: comments, blank lines and spacing stay.

    Raises:
        UserError: a setting without ``=``, an unknown key (naming the nearest valid one), a
            value that is no YAML, or a result that `parse_params` refuses.
    """
    spans = _spans(text)
    wanted = dict(_split(setting, list(spans)) for setting in settings)  # the last of a key wins
    for key in sorted(wanted, key=lambda key: spans[key], reverse=True):  # from the end: spans hold
        first, end = spans[key]
        space = " " if first == end else ""  # after a key that had no value
        text = text[:first] + space + _as_yaml(wanted[key]) + text[end:]
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
    if after == before:
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w", encoding="utf-8", newline="") as file:
        file.write(after)
    beside.chmod(path.stat().st_mode)
    beside.replace(path)


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
        UserError: no such folder or file, an empty folder, one that overlaps what the pipeline
            writes, or a name no shell command can carry.
    """
    refuse_own_ground(source, root)
    if any(sign in str(source) for sign in "'\"\\$`\n"):
        raise UserError(
            str(source),
            "quotes, $, ` and \\ cannot stand in the source's path",
            "Rename the folder",
        )
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
        # Someone who leaves a section out means the key of that name.
        short = [name for name in valid if name.endswith(f".{key}")]
        near = short or difflib.get_close_matches(key, valid, n=1, cutoff=0.0)
        raise UserError(f"--set {key}", "unknown key", f"The nearest valid key is {near[0]}")
    try:
        # The YAML that DVC reads (1.2): 1e-3 is a number and `no` a word.
        return key, YAML(typ="safe", pure=True).load(written)
    except YAMLError:
        raise UserError(
            f"--set {setting}", "the value is not readable as YAML", "Quote it, or mend it"
        ) from None


def _as_yaml(value: Any) -> str:
    """Write a plain value on one line."""
    line = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return line.removesuffix("\n").removesuffix("\n...")


def _spans(text: str) -> Mapping[str, tuple[int, int]]:
    """Return where each value stands in ``text``: dotted key → (first, past the last)."""
    root = YAML(pure=True).compose(text)
    return dict(_spans_below(root, "")) if isinstance(root, MappingNode) else {}


def _spans_below(section: MappingNode, prefix: str) -> Iterator[tuple[str, tuple[int, int]]]:
    for key, value in section.value:
        name = f"{prefix}{key.value}"
        if isinstance(value, MappingNode):
            yield from _spans_below(value, f"{name}.")
        else:
            yield name, _span(value)


def _span(node: Node) -> tuple[int, int]:
    """Return a value's first and past-the-last character.

    A block list ends, by its own mark, where the next key begins: its last item tells better.
    """
    end = node
    while isinstance(end, CollectionNode) and not end.flow_style and end.value:
        end = end.value[-1]
    return node.start_mark.index, end.end_mark.index

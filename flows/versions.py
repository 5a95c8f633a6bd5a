"""The lines that have ended: logged beside their results, so that `ganlift checkout` finds them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

from flows import folds, verdict
from flows.edit_params import edited
from flows.outs import left_to_git
from tasks.adapters.tracking.store import asked, store_at, tracking_uri
from tasks.adapters.tracking.versions import Line, keep_line
from tasks.contracts.errors import UserError
from tasks.contracts.outputs import LOCKS
from tasks.contracts.params.reading import FILE

LIFTS = dict(zip(LOCKS, (verdict.LIFT, folds.LIFT), strict=True))
RECORDED = Path(".ganlift/recorded.json")  # by lock: the last result whose line a store holds


@dataclass(frozen=True)
class Lock:
    """One of DVC's locks, of now or of a run of before.

    Attributes:
        name: one of `LOCKS`.
        text: its content.
    """

    name: Path
    text: str

    @cached_property
    def stages(self) -> Mapping[str, Mapping[str, Any]]:
        """Each stage's entry, by name; read as DVC writes it, by YAML 1.2: 1e-05 is a number."""
        content = YAML(typ="safe").load(self.text) or {}
        stages: dict[str, dict[str, Any]] = content.get("stages", {})
        return stages

    @cached_property
    def outs(self) -> Mapping[Path, str]:
        """DVC's md5 of each output, ``.dir`` behind it for a folder."""
        stages = self.stages.values()
        return {Path(out["path"]): out["md5"] for of in stages for out in of.get("outs", ())}

    @cached_property
    def owners(self) -> Mapping[Path, str]:
        """Which stage writes an output, without the number of its fold."""
        return {
            Path(out["path"]): name.partition("@")[0]
            for name, of in self.stages.items()
            for out in of.get("outs", ())
        }

    @property
    def params(self) -> Iterator[tuple[str, Any]]:
        """The settings that the stages ran with: dotted key and value."""
        for of in self.stages.values():
            for key, value in of.get("params", {}).get(FILE.name, {}).items():
                yield from _leaves(key, value)

    @property
    def is_one_line(self) -> bool:
        """Whether each stage ran on what the ones above it have left."""
        return all(
            self.outs.get(Path(dep["path"]), dep["md5"]) == dep["md5"]
            for of in self.stages.values()
            for dep in of.get("deps", ())
            if "md5" in dep
        )


def log_line(root: Path) -> None:
    """Log the line of a result that stands here, once; where that fails, one line says so.

    Called when a line has ended, and before the next one begins: of `dvc repro`, or of a flow
    that was killed as it ended.
    """
    store = store_at(tracking_uri())
    try:
        recorded: dict[str, list[str]] = json.loads((root / RECORDED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        recorded = {}
    new = {}
    for name, lift in LIFTS.items():
        if (root / lift).is_file():
            done = [hashlib.sha256((root / lift).read_bytes()).hexdigest(), store.uri]
            if recorded.get(str(name)) != done and (line := finished_line(root, name)):
                new[str(name)] = (line, done)

    def log() -> None:
        recorded.update(
            {name: done for name, (line, done) in new.items() if keep_line(store, line)}
        )

    if new and store.attempt(log):
        beside = (root / RECORDED).with_suffix(".part")
        beside.parent.mkdir(exist_ok=True)
        beside.write_text(json.dumps(recorded), encoding="utf-8")
        beside.replace(root / RECORDED)


def log_missing_lines(root: Path) -> list[str]:
    """Log the lines of the results that stand here, where their runs lack them.

    Returns:
        A line of text for each that was logged.

    Raises:
        UserError: the store cannot be reached.
    """
    lines = [line for name in LIFTS if (line := finished_line(root, name)) is not None]
    with asked("run `ganlift track`") as store:
        found = [keep_line(store, line) for line in lines]
    return [f"{one.lock}: logged, run {one.run_id[:8]}" for one in found if one and one.new]


def finished_line(root: Path, name: Path) -> Line | None:
    """Return the line that a lock tells of; None if it has not ended, or more ran since.

    A result is told of only beside what made it: every report that DVC does not cache must be
    the one of the lock, and each stage must have run on what the one above it left. Settings that
    were changed since stand as the lock has them.

    Args:
        root: the project's folder.
        name: one of `LOCKS`.
    """
    file, lift = root / name, root / LIFTS[name]
    if not (file.is_file() and lift.is_file()):
        return None
    lock = Lock(name, file.read_text(encoding="utf-8"))
    source = dict(lock.params).get("ingest.source")
    if source is None or LIFTS[name] not in lock.outs or not lock.is_one_line:
        return None
    reports = {path: root / path for path in {*left_to_git(root)} & {*lock.outs}}
    if not all(place.is_file() for place in reports.values()):
        return None
    files = {str(path): place.read_bytes() for path, place in reports.items()}
    if any(_md5(files[str(path)]) != lock.outs[path] for path in reports):
        return None
    params = _as_locked((root / FILE).read_text(encoding="utf-8"), lock)
    if params is None:
        return None
    files |= {str(name): lock.text.encode(), FILE.name: params.encode()}
    return Line(
        dataset=source,
        digest=hashlib.sha256(files[str(LIFTS[name])]).hexdigest(),
        lock=str(name),
        files=files,
        commands=file.with_name("dvc.yaml").read_bytes(),
    )


def _as_locked(text: str, lock: Lock) -> str | None:
    """Return params.yaml with the values of a lock; None where it has other keys by now."""
    now = dict(_leaves("", yaml.safe_load(text)))
    changed = {key: value for key, value in lock.params if now.get(key) != value}
    try:
        return edited(text, [f"{key}={json.dumps(value)}" for key, value in changed.items()])
    except UserError:
        return None


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(f"{key}.{name}" if key else str(name), inner)
    else:
        yield key, value


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()

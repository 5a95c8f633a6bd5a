"""Results that are kept as they come, so that a bench that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import joblib
from rich.progress import track

from bench.datasets import ROOT
from tasks.contracts.parent import die_with_parent

Row = dict[str, Any]


class Job(Protocol):
    """What can be done once and written down: a frozen value that another process can do."""

    @property
    def key(self) -> str:
        """Name of all that decides the result but the code."""

    @property
    def names(self) -> Row:
        """What tables call it, which decides nothing."""

    def do(self) -> Row:
        """Do it on one thread; return what can be written as JSON."""


AnyJob = TypeVar("AnyJob", bound=Job)


def code_digest(*patterns: str) -> str:
    """Name of the code that rows are made by: the files under the root of these patterns."""
    digest = hashlib.sha256()
    for pattern in patterns:
        for file in sorted(ROOT.glob(pattern)):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


class Ledger:
    """A JSONL file, one line a finished job: its key, the code's digest and the row."""

    def __init__(self, path: Path, code: str) -> None:
        self.code = code
        self._path = path
        self._rows: dict[str, Row] = {}
        self._torn = False
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            self._torn = not text.endswith("\n")
            for line in text.splitlines():
                try:
                    row = json.loads(line)
                    self._rows[row["key"]] = row
                except (ValueError, KeyError):
                    continue  # the line that was being written when the bench was stopped

    def find(self, jobs: Sequence[Job]) -> list[Row]:
        """Return the rows of those jobs that are done, called as the jobs are called."""
        return [self._rows[job.key] | job.names for job in jobs if job.key in self._rows]

    def missing(self, jobs: Sequence[AnyJob], *, fresh: bool) -> list[AnyJob]:
        """Return the jobs to do, each once; with `fresh` also those done by other code."""
        left = {
            job.key: job
            for job in jobs
            if job.key not in self._rows or (fresh and self._rows[job.key]["code"] != self.code)
        }
        return list(left.values())

    def add(self, key: str, row: Row) -> None:
        """Append a row."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._rows[key] = row = row | {"key": key}
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n" * self._torn + json.dumps(row) + "\n")
        self._torn = False


def work_off(jobs: Sequence[Job], ledger: Ledger, processes: int) -> None:
    """Do the jobs, `processes` at once with one thread each, noting each as it is done."""
    several = joblib.Parallel(
        n_jobs=processes, return_as="generator_unordered", initializer=die_with_parent
    )
    made = several(joblib.delayed(_keyed)(job, ledger.code) for job in jobs)
    for key, row in track(made, description="jobs", total=len(jobs)):
        ledger.add(key, row)


def _keyed(job: Job, code: str) -> tuple[str, Row]:
    return job.key, job.do() | {"code": code}

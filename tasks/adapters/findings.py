"""What a gate found: one finding an expectation, with the rows that broke it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tasks.contracts.errors import UserError

Severity = Literal["stop", "warn"]
"""What a failed expectation does: it closes the gate, or is told and leaves it open."""

_ROWS_IN_JSON = 20
_ROWS_IN_MESSAGE = 3


@dataclass(frozen=True)
class FailingRow:
    """One row that broke an expectation.

    Attributes:
        split: the image set it stands in.
        row: its number there, None for a row that is no image (a class, a GAN).
        image_id: its content hash, empty for a row that is no image.
        source: where the image came from; for a row that is no image, what was counted.
        value: what was found in the columns checked.
    """

    split: str
    row: int | None
    image_id: str
    source: str
    value: str


@dataclass(frozen=True)
class Finding:
    """What became of one expectation.

    Attributes:
        expectation: Great Expectations' name of it.
        split: the image set checked, or what was checked across sets.
        column: the column or columns checked, empty for a whole table.
        passed: whether it held.
        observed: what was found, in words.
        failing: every row that broke it.
        explanation: what it asks and why, in words.
        mend: what to do when it fails.
        severity: whether a failure closes the gate.
    """

    expectation: str
    split: str
    column: str
    passed: bool
    observed: str
    explanation: str
    mend: str
    failing: tuple[FailingRow, ...] = field(default=())
    severity: Severity = "stop"

    @property
    def stops(self) -> bool:
        """Whether it closes the gate."""
        return not self.passed and self.severity == "stop"

    @property
    def warns(self) -> bool:
        """Whether it failed without closing the gate."""
        return not self.passed and self.severity == "warn"

    def as_json(self) -> dict[str, Any]:
        """Return plain values; of the failing rows their count and the first 20."""
        return {
            "expectation": self.expectation,
            "split": self.split,
            "column": self.column,
            "severity": self.severity,
            "passed": self.passed,
            "observed": self.observed,
            "explanation": self.explanation,
            "failing": len(self.failing),
            "rows": [vars(row) for row in self.failing[:_ROWS_IN_JSON]],
        }


def refusal(stage: str, findings: Sequence[Finding], look_at: Path) -> UserError:
    """Return the error of a gate that did not open: expectation, split, rows and mend.

    The first expectation that closed it is named in full, the others that did are counted.
    """
    failed = [finding for finding in findings if finding.stops]
    first = failed[0]
    subject = f"{first.expectation}({first.column})" if first.column else first.expectation
    sources = ", ".join(
        row.source if row.split == first.split else f"{row.source} in {row.split}"
        for row in first.failing[:_ROWS_IN_MESSAGE]
    )
    rest = len(first.failing) - _ROWS_IN_MESSAGE
    rows = f" [{sources}{f' and {rest} more' if rest > 0 else ''}]" if sources else ""
    others = f"; {len(failed) - 1} more failed" if len(failed) > 1 else ""
    return UserError(
        f"{stage}: {subject} on {first.split}",
        f"{first.explanation.rstrip('.')}, but {first.observed}{rows}{others}",
        f"{first.mend}; see {look_at}",
    )

"""The gate between validation and training: a file of constant bytes, so only its answer counts."""

from __future__ import annotations

from pathlib import Path

from tasks.contracts.errors import UserError

_ANSWERS = {True: "passed\n", False: "refused\n"}


def write_gate(gate: Path, passed: bool) -> None:
    """Write whether the real images passed validation; it holds nothing else."""
    gate.parent.mkdir(parents=True, exist_ok=True)
    gate.write_text(_ANSWERS[passed], encoding="utf-8")


def require_passed(gate: Path) -> None:
    """Go on only behind a gate that says ``passed``.

    Raises:
        UserError: it says anything else, or there is none.
    """
    if not gate.is_file():
        raise UserError(
            str(gate), "it is missing, so the images were never validated", "Run `ganlift run`"
        )
    if gate.read_bytes() != _ANSWERS[True].encode():
        raise UserError(
            str(gate),
            "validation refused the images, so nothing is trained on them",
            "Mend what reports/validation.html lists, then run `ganlift run`",
        )

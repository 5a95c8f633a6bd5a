from __future__ import annotations

from pathlib import Path

import pytest

from tasks.contracts.errors import UserError
from tasks.contracts.gate import require_passed, write_gate


def test_only_a_gate_that_says_passed_lets_training_through(tmp_path: Path) -> None:
    gate = tmp_path / "reports" / "validation.gate"
    with pytest.raises(UserError, match="missing"):
        require_passed(gate)
    write_gate(gate, False)
    assert gate.read_bytes() == b"refused\n"
    with pytest.raises(UserError, match="validation refused the images"):
        require_passed(gate)
    write_gate(gate, True)
    assert gate.read_bytes() == b"passed\n"
    require_passed(gate)


@pytest.mark.parametrize("text", ["", "passed", "passed\npassed\n", "\xff"])
def test_a_damaged_gate_is_closed(tmp_path: Path, text: str) -> None:
    (tmp_path / "gate").write_text(text, encoding="latin-1")
    with pytest.raises(UserError):
        require_passed(tmp_path / "gate")

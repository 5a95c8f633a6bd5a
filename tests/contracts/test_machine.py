"""What is said of the processor, found without PyTorch's import, is what PyTorch says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flows.child import environment

SAID = """
import sys
from tasks.contracts.machine import processor
said = processor()
assert "torch" not in sys.modules or not sys.platform.startswith("linux")
import torch
assert said.rpartition(", ")[2] == torch.backends.cpu.get_cpu_capability(), said
"""


@pytest.mark.parametrize("held", [None, "avx2"])
def test_the_instructions_are_those_that_pytorch_uses(held: str | None) -> None:
    own = {**environment(), **({"ATEN_CPU_CAPABILITY": held} if held else {})}
    subprocess.run([sys.executable, "-c", SAID], env=own, check=True)

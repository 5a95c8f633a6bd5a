from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = """
import resource, sys, torch
from tasks.contracts.machine import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(20):  # until the heap has grown to what a step needs
    torch.zeros(2**24).fill_(1)
before = faults()
for _ in range(10):
    torch.zeros(2**24).fill_(1)  # 64 MB
print(faults() - before)
"""


def faults(how: str) -> int:
    """Pages that ten blocks of 64 MB, one after another, had to be given by the system."""
    command = [sys.executable, "-c", FAULTS, how]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_a_block_that_was_freed_is_not_asked_for_again() -> None:
    assert faults("kept") < 1000
    assert faults("given back") > 10_000  # or there would be nothing to gain

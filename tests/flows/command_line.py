"""The command line, run in this process."""

from __future__ import annotations

import sys

import pytest

from flows import cli


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run a command of ganlift; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["ganlift", *arguments])
    try:
        cli.main()
    except SystemExit as ending:
        return int(ending.code or 0)
    return 0

"""What DVC says of a failure, in one line that names the thing, the reason and the mend."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tasks.contracts.boundary import disk_error_said
from tasks.contracts.errors import UserError

_OPENING = re.compile(r"^(ERROR: )?(failed to reproduce '[^']*': )?(unexpected error - )?")
_BLOCKED = re.compile(r"'(?P<path>.+)' is busy, it is being blocked by:")
_BLOCKER = re.compile(r"\(PID (\d+)\): (.*?)(?= \(PID \d+\)|$)")
_NO_GIT = re.compile(r"(?P<root>.+) is not a git repository")
LOCKS = ".dvc/tmp/rwlock"


def dvc_error(thing: str, said: Sequence[str]) -> UserError:
    """Return what a person is told.

    Args:
        thing: what DVC was asked for.
        said: its lines, from that of the error on. Those up to the first empty one belong to it.
    """
    said = [line.strip() for line in said]
    end = said.index("") if "" in said else len(said)
    text = _OPENING.sub("", " ".join(said[:end]))
    if blocked := _BLOCKED.search(text):
        found = _BLOCKER.findall(text)
        by = " and ".join(f"`{command}` (process {number})" for number, command in found)
        numbers = " ".join(number for number, _ in found)
        return UserError(
            thing,
            f"{blocked['path']} is in use by {by}",
            f"Wait until that ends, or stop it with `kill {numbers}`; if it is no command of DVC, "
            f"remove {LOCKS}",
        )
    if bare := _NO_GIT.search(text):
        return UserError(
            bare["root"],
            "DVC keeps versions with Git, and this is no Git repository",
            "Run `git init` there, or `dvc config --local core.no_scm true` to do without Git",
        )
    if "RWLock-file" in text:  # as a full disk leaves it
        return UserError(thing, text, f"Remove {LOCKS} if no other command of DVC is at work")
    return disk_error_said(text, thing) or UserError(thing, text, "Mend that, then run again")

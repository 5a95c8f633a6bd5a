"""The one error a person is meant to read."""

from __future__ import annotations


class UserError(Exception):
    """Something a person can mend: names the thing, the reason and the mend, on one line.

    Commands print it as ``error: THING: REASON. MEND`` and exit with status 1, without a
    stack trace. Anything else that escapes a command is a bug and keeps its trace.
    """

    def __init__(self, thing: str, reason: str, mend: str) -> None:
        self.thing, self.reason, self.mend = thing, reason, mend
        line = f"{thing}: {reason.rstrip('.')}. {mend.rstrip('.')}."
        super().__init__(" ".join(line.split()))

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str, str]]:
        """Pickle by the three arguments, so that a worker process can raise it too."""
        return UserError, (self.thing, self.reason, self.mend)

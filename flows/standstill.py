"""A stage that prints nothing new for hours is stuck: it is ended, and tried once more."""

from __future__ import annotations

import time

from flows.reasons import StageError

# The longest silence of a sound stage is one step of training on a slow machine: minutes.
STALL_SECONDS = 2 * 3600.0


class StalledError(StageError):
    """A stage was ended because it stood still: of all failures the one that a retry mends.

    What it had finished is kept, so the second attempt goes on from there.
    """


class Standstill:
    """How long nothing has moved.

    Args:
        stage: what it is called for people.
    """

    def __init__(self, stage: str) -> None:
        self._stage, self._heard, self._since = stage, "", time.monotonic()

    def hear(self, line: str) -> None:
        """Take a line that the stage printed; one that repeats the last moves nothing."""
        if line != self._heard:
            self._heard, self._since = line, time.monotonic()

    def look(self) -> None:
        """See that something has moved.

        Raises:
            StalledError: nothing has for too long.
        """
        if time.monotonic() - self._since < STALL_SECONDS:
            return
        last = f" after {self._heard.strip()!r}" if self._heard else ""
        raise StalledError(
            f"stage {self._stage}: nothing moved for {STALL_SECONDS / 3600:.0f} hours{last}, so it "
            "was stopped. `ganlift doctor` looks at the machine; `ganlift run` goes on from what "
            "is done."
        )

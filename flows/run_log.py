"""A lasting log of each run: its stages with times, and every line that they and DVC printed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

LOGS = Path(".ganlift/logs")
KEPT = 60  # of the newest runs: two months of nights
_OURS = f"{'[0-9]' * 4}-??-??_??-??-??_{'[0-9]' * 6}.log"  # how they are named
LOG = logging.getLogger("ganlift.run")
LOG.propagate = False  # Prefect has its own lines
LOG.setLevel(logging.INFO)
LOG.addHandler(logging.NullHandler())


class _Quiet(logging.FileHandler):
    """A log that cannot be written, on a full disk, harms no run."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Say nothing."""


@contextmanager
def logged(root: Path) -> Iterator[Path]:
    """Write what is told to ``LOG`` into a file of this run's own, and yield its path.

    Call with the project's lock held, so that no two runs begin in the same moment. Only the
    newest files are kept.
    """
    folder = root / LOGS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.now().astimezone():%Y-%m-%d_%H-%M-%S_%f}.log"
    handler = _Quiet(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    LOG.addHandler(handler)
    for old in sorted(folder.glob(_OURS))[:-KEPT]:
        old.unlink(missing_ok=True)
    try:
        yield path
    except BaseException as ending:
        LOG.info("ended: %s: %s", type(ending).__name__, ending)
        raise
    finally:
        LOG.removeHandler(handler)
        handler.close()

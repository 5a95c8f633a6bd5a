"""How far a stage is, on Prefect's page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

SECONDS_BETWEEN_ARTIFACTS = 10.0


@contextmanager
def told_progress(stage: str) -> Iterator[Callable[[float], None]]:
    """Yield what tells Prefect's page the share done (0 to 1), seldom enough to cost nothing.

    When the block ends, the page says 100 %, or how far the stage was when it ended early.
    """
    last, share_done = time.monotonic(), 0.0
    artifact: UUID | None = None

    def tell(share: float) -> None:
        nonlocal last, artifact, share_done
        share_done = share
        if time.monotonic() - last < SECONDS_BETWEEN_ARTIFACTS:
            return
        last = time.monotonic()
        if artifact is None:
            artifact = cast(UUID, create_progress_artifact(100 * share, description=stage))
        else:
            update_progress_artifact(artifact, 100 * share)

    try:
        yield tell
    except BaseException:
        if artifact is not None:
            with suppress(Exception):  # what ended the stage matters more than its page
                text = f"{stage}: ended early, at {share_done:.0%}"
                update_progress_artifact(artifact, 100 * share_done, text)
        raise
    if artifact is not None:
        update_progress_artifact(artifact, 100.0)

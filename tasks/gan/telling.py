"""What a GAN tells while it trains: files in a folder, for it may be on another machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

from tasks.gan.state import GanOutcome, Tick

_NEWS: TypeAdapter[Tick | GanOutcome] = TypeAdapter(Tick | GanOutcome)


class Teller:
    """The side of whoever trains.

    A training that is begun again elsewhere tells the same again under the same numbers, so
    nothing is heard twice.

    Args:
        folder: the listener's.

    Attributes:
        told: how much so far.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self.told = folder, 0

    @property
    def heard(self) -> bool:
        """Whether somebody still listens."""
        return self._folder.is_dir()

    def tell(self, news: Tick | GanOutcome) -> None:
        """Put down a tick or how it ended; nothing where nobody listens any more."""
        content = json.dumps(_NEWS.dump_python(news, mode="json"))
        with suppress(FileNotFoundError):
            if isinstance(news, Tick) and news.grid is not None:
                _picture(self._folder, self.told).write_bytes(news.grid)
            beside = self._folder / ".writing"
            beside.write_text(content, encoding="utf-8")
            beside.replace(_file(self._folder, self.told))
        self.told += 1


class Listener:
    """The side of whoever waits.

    Args:
        folder: made here, a new one for each listener; what stands beside it is removed.

    Attributes:
        heard: how much so far.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self.heard = folder, 0
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)

    def news(self) -> Iterator[Tick | GanOutcome]:
        """Yield what has been told since the last call, in order."""
        while (file := _file(self._folder, self.heard)).is_file():
            news = _NEWS.validate_python(json.loads(file.read_text(encoding="utf-8")))
            picture = _picture(self._folder, self.heard)
            if isinstance(news, Tick) and picture.is_file():
                news = replace(news, grid=picture.read_bytes())
            self.heard += 1
            yield news

    def leave(self) -> None:
        """Listen no more: who trains stops at the next tick."""
        shutil.rmtree(self._folder.parent, ignore_errors=True)


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.json"


def _picture(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.png"

from __future__ import annotations

import math
from pathlib import Path

from tasks.contracts.evaluation import GanEvaluation
from tasks.gan.state import GanOutcome, Tick
from tasks.gan.telling import Listener, Teller

JUDGED = GanEvaluation({"kid": 0.1 + 0.2, "fid": math.inf}, {"cat": {"coverage": 1 / 3}})
TICKS = [
    Tick(0.1 + 0.2, 0.5, {"loss_g": 1 / 3}, 12.5, b"\x89PNG", JUDGED),
    Tick(0.6, 1.0, {"loss_g": 1e-300}, 12.5),
]
ENDED = GanOutcome(0.6, JUDGED, ("dog",), 1, False, ("rolled back",))


def test_what_is_told_is_heard_once_in_order_and_to_the_bit(tmp_path: Path) -> None:
    listener = Listener(tmp_path / "told" / "asked")
    teller = Teller(tmp_path / "told" / "asked")
    assert list(listener.news()) == []
    teller.tell(TICKS[0])
    assert list(listener.news()) == [TICKS[0]]
    again = Teller(tmp_path / "told" / "asked")  # its machine has died, another begins
    for news in (*TICKS, ENDED):
        again.tell(news)
    assert list(listener.news()) == [TICKS[1], ENDED]
    assert listener.heard == again.told == 3


def test_who_trains_learns_that_nobody_listens(tmp_path: Path) -> None:
    first = Listener(tmp_path / "told" / "first")
    of_first = Teller(tmp_path / "told" / "first")
    assert of_first.heard
    second = Listener(tmp_path / "told" / "second")  # the stage was killed, and is run again
    of_first.tell(ENDED)
    assert not of_first.heard
    assert list(first.news()) == list(second.news()) == []
    of_second = Teller(tmp_path / "told" / "second")
    assert of_second.heard
    second.leave()
    assert not of_second.heard
    assert not (tmp_path / "told").exists()

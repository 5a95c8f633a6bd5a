from __future__ import annotations

import pickle

from tasks.contracts.errors import UserError


def test_it_is_one_line_whatever_it_is_given() -> None:
    error = UserError("a\nfile", "two\n  lines.", "Mend\tit.")
    assert str(error) == "a file: two lines. Mend it."


def test_it_survives_the_way_out_of_a_worker_process() -> None:
    error = pickle.loads(pickle.dumps(UserError("thing", "reason", "Mend")))
    assert (error.thing, error.reason, error.mend) == ("thing", "reason", "Mend")
    assert str(error) == "thing: reason. Mend."

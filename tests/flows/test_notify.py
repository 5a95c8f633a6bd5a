from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flows import notify
from flows.nights import noted_failures
from flows.notify import Message, Webhook
from tasks.contracts.errors import UserError
from tests.answer.fake_report import fake_lift
from tests.flows.sink import Sink


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    monkeypatch.setattr(notify, "_PAUSE_SECONDS", 0.0)
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture
def run(prefect_url: str) -> Callable[..., dict[str, str]]:
    from flows.pipeline import pipeline

    return pipeline


def _failed(line: str = "thing: broken. Mend it.") -> Message:
    return Message(event="failed", dataset="tiles", line=line)


def test_the_address_is_kept_for_its_owner_alone_and_never_shown(tmp_path: Path) -> None:
    folder = tmp_path / ".ganlift"
    folder.mkdir()
    (folder / "notify.json").write_text("{}")  # readable by all
    notify.set_webhook(tmp_path, "https://me:pass@chat.example.org/hooks/s3cret")
    assert (folder / "notify.json").stat().st_mode & 0o777 == 0o600
    told = notify.how_it_is(tmp_path)
    assert "chat.example.org" in told
    assert "none was sent yet" in told
    assert "s3cret" not in told
    assert "pass" not in told
    notify.stop_telling(tmp_path)
    assert notify.how_it_is(tmp_path).startswith("Nobody is told")
    assert not (folder / "notify.json").exists()


@pytest.mark.parametrize(
    "url", ["", "chat.example.org/hook", "ftp://a.org", "https://", "http://a.org:port"]
)
def test_what_is_no_address_is_refused_in_a_line(tmp_path: Path, url: str) -> None:
    with pytest.raises(UserError, match="the webhook"):
        notify.set_webhook(tmp_path, url)
    assert notify.load_webhook(tmp_path) is None


def test_a_message_has_a_text_for_chats_and_fields_for_programs(tmp_path: Path, sink: Sink) -> None:
    notify.set_webhook(tmp_path, sink.url)
    notify.tell(tmp_path, _failed("<!channel> & all"))
    assert sink.got == [
        {
            "text": "ganlift · tiles: &lt;!channel&gt; &amp; all",
            "event": "failed",
            "dataset": "tiles",
            "line": "<!channel> & all",
            "verdict": None,
            "lift": None,
            "report": None,
        }
    ]
    assert "failed, arrived: <!channel> & all" in notify.how_it_is(tmp_path)


@pytest.mark.parametrize(
    ("answers", "attempts", "outcome"),
    [
        ([503], 2, "arrived"),
        ([503, 500, 500], 2, "did not arrive (it answered 500"),
        ([404], 1, "did not arrive (it answered 404"),
        ([302], 2, "arrived"),
    ],
)
def test_a_message_is_sent_once_more_where_that_may_help(
    tmp_path: Path, sink: Sink, answers: list[int], attempts: int, outcome: str
) -> None:
    sink.answers = answers
    notify.set_webhook(tmp_path, sink.url)
    notify.tell(tmp_path, _failed())
    assert len(sink.got) == attempts
    assert outcome in notify.how_it_is(tmp_path)


def test_a_webhook_that_is_gone_silent_or_damaged_stops_nothing(
    tmp_path: Path,
    sink: Sink,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(notify, "TIMEOUT_SECONDS", 0.2)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as silent:
        url = f"http://127.0.0.1:{silent.server_port}/hooks/s3cret"
        assert "ReadTimeout" in str(Webhook(url=url).send(_failed()))
    notify.set_webhook(tmp_path, url)  # where nobody listens any more
    notify.tell(tmp_path, _failed())
    assert "could not tell 127.0.0.1: ConnectError" in capsys.readouterr().err
    assert "did not arrive (ConnectError" in notify.how_it_is(tmp_path)
    with pytest.raises(UserError, match="did not arrive"):
        notify.try_webhook(tmp_path)
    (tmp_path / notify.WEBHOOK).write_text("{")
    notify.tell(tmp_path, _failed())
    told = capsys.readouterr().err
    assert "is damaged" in told
    assert "s3cret" not in told


def test_no_proxy_stands_between_us_and_this_machine(
    tmp_path: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.contracts.proxies import reach_this_machine_directly

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    reach_this_machine_directly()
    notify.set_webhook(tmp_path, sink.url)
    assert notify.try_webhook(tmp_path) == "The message arrived at 127.0.0.1."


def test_a_failure_is_told_once_and_a_stop_is_not(tmp_path: Path, sink: Sink) -> None:
    notify.set_webhook(tmp_path, sink.url)
    with pytest.raises(UserError), notify.failures_told(tmp_path):
        raise UserError("thing 7", "it is broken", "Mend it")
    for stop in (KeyboardInterrupt, SystemExit):
        with pytest.raises(stop), notify.failures_told(tmp_path):
            raise stop
    assert [message["line"] for message in sink.got] == ["thing 7: it is broken. Mend it."]


def test_what_cannot_be_noted_or_told_takes_nothing_from_the_failure(tmp_path: Path) -> None:
    (tmp_path / ".ganlift").write_text("a file where the folder should be")
    (tmp_path / "params.yaml").write_text("ingest: {source: orders}")
    with pytest.raises(UserError, match="thing 7"), notify.failures_told(tmp_path):
        raise UserError("thing 7", "it is broken", "Mend it")


def test_a_run_that_fails_before_or_in_a_stage_is_told(
    line: Path, sink: Sink, prefect_url: str
) -> None:
    from flows.run import Wishes, run_line

    notify.set_webhook(line, sink.url)
    (line / "orders" / "merge").write_text("fail merge")
    wishes = Wishes(None, (), "merge", None, False)
    with pytest.raises(UserError, match="broken"):
        run_line(line, wishes)
    (line / "params.yaml").write_text("nonsense: 1")
    with pytest.raises(UserError, match="nonsense"):
        run_line(line, wishes)
    in_a_stage, before = sink.got
    assert (in_a_stage["event"], in_a_stage["dataset"]) == ("failed", "orders")
    assert "thing 7: it is broken. Mend it." in in_a_stage["line"]
    assert "nonsense" in before["line"]
    (noted,) = noted_failures(line, "orders")  # what wrong settings are of, nobody knows
    assert noted.line == in_a_stage["line"]


def test_only_another_verdict_is_told(
    line: Path, sink: Sink, run: Callable[..., dict[str, str]]
) -> None:
    notify.set_webhook(line, sink.url)
    run()
    assert sink.got == []
    (line / "result.json").write_text(fake_lift(mean=-2.0, half=0.5).dumps())
    (line / "orders" / "report").write_text("second")
    run()
    (told,) = sink.got
    assert (told["event"], told["verdict"], told["lift"]) == ("verdict", "hurts", -2.0)
    assert told["line"].startswith("the verdict changed from helps to hurts −2.0 ")
    assert told["report"] == "reports/lift.html"
    run()
    assert len(sink.got) == 1


def test_a_killed_run_is_told_when_the_next_begins(
    line: Path, sink: Sink, run: Callable[..., dict[str, str]]
) -> None:
    notify.set_webhook(line, sink.url)
    note = line / ".ganlift" / "flow_runs" / "5f0d9b52-7f9e-4a0c-9d6e-6d0f3c1f7a11"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    run()
    run()
    (told,) = sink.got
    assert told["event"] == "failed"
    assert "was killed" in told["line"]


NIGHTS = {"cron": "0 3 * * *", "timezone": "Europe/Berlin"}


@pytest.mark.parametrize(
    ("last", "now", "said"),
    [
        ("2026-01-10T02:30", "2026-01-10T20:00", None),
        ("2026-01-10T01:30", "2026-01-10T01:59", None),
        ("2026-01-10T01:30", "2026-01-10T02:01", "at 2026-01-10 03:00 (Europe/Berlin), because"),
        ("2026-01-10T01:30", "2026-01-13T20:00", "2026-01-10 03:00 (Europe/Berlin) and at 3 later"),
        ("2026-01-10T01:30", "2025-01-10T01:30", None),  # a clock that went back
    ],
)
def test_a_missed_night_is_one_that_fell_due_while_nothing_was_served(
    project: Path, last: str, now: str, said: str | None
) -> None:
    from flows.schedule import SERVED, missed

    note = project / SERVED
    note.parent.mkdir(exist_ok=True)
    note.write_text(json.dumps(NIGHTS))
    seen = datetime.fromisoformat(last).replace(tzinfo=UTC).timestamp()
    os.utime(note, (seen, seen))
    found = missed(project, datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert (found is None) == (said is None)
    if found is not None and said is not None:
        assert found.event == "missed"
        assert said in found.line


def test_no_note_or_half_a_note_is_no_missed_night(project: Path) -> None:
    from flows.schedule import SERVED, missed

    assert missed(project, datetime.now(UTC)) is None
    (project / SERVED).parent.mkdir(exist_ok=True)
    (project / SERVED).write_text('{"cron": "0 3')
    assert missed(project, datetime.now(UTC)) is None

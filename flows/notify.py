"""``ganlift notify``: tells somebody, by a webhook, of what happened while nobody looked.

A message is JSON: its ``text`` is what Slack, Mattermost and their like show, and the fields of
`Message` stand beside it for programs. Sending is the last thing that may harm a run: whatever
goes wrong with it is a line of the log and of `NOTIFIED`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from flows.data_set import data_set
from flows.nights import note_failure
from tasks.contracts.errors import UserError

WEBHOOK = Path(".ganlift/notify.json")
NOTIFIED = Path(".ganlift/notified.txt")
TIMEOUT_SECONDS = 10.0
_PAUSE_SECONDS = 1.0  # before the second of two attempts
_MEND = "Set it again with `ganlift notify URL`"


class Message(BaseModel):
    """What somebody is told.

    Attributes:
        event: a run failed, the verdict is another one than before, scheduled runs did not
            begin, results could not be pushed, or a person tries the webhook.
        dataset: name of the images' folder or file.
        line: one sentence for a person.
        verdict: the new one, where it changed.
        lift: mean in the unit that ``line`` names, where the verdict changed.
        report: the page to read, relative to the project's folder.
    """

    model_config = ConfigDict(frozen=True)
    event: Literal["failed", "verdict", "missed", "not pushed", "test"]
    dataset: str
    line: str
    verdict: str | None = None
    lift: float | None = None
    report: str | None = None

    def text(self) -> str:
        """Return the sentence for a chat, in which ``<``, ``>`` and ``&`` would be commands."""
        text = f"ganlift · {self.dataset}: {self.line}"
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Webhook(BaseModel):
    """Where messages go; its address may hold a secret, so only `host` is ever shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: str

    @property
    def host(self) -> str:
        """The part of the address that is no secret.

        Raises:
            UserError: no address of the web.
        """
        import httpx

        try:
            url = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise UserError("the webhook", f"no address of the web ({error})", _MEND) from None
        if url.scheme not in ("http", "https") or not url.host:
            raise UserError("the webhook", "not an address that begins with https://", _MEND)
        return url.host

    def send(self, message: Message) -> str | None:
        """Post a message, twice at most; return why it did not arrive, or None."""
        import httpx

        body = {"text": message.text(), **message.model_dump()}
        said: str | None = None
        for pause in (0.0, _PAUSE_SECONDS):
            time.sleep(pause)
            try:
                # Not read: an answer without an end would hold up the run.
                with httpx.stream("POST", self.url, json=body, timeout=TIMEOUT_SECONDS) as answer:
                    if answer.is_success:
                        return None
                    said = f"it answered {answer.status_code} {answer.reason_phrase}"
                    if answer.is_client_error:  # it would answer the same again
                        break
            except Exception as error:  # whatever it is, no run fails of it
                said = f"{type(error).__name__}: {error}".replace(self.url, "…")
        return said


def set_webhook(root: Path, url: str) -> Webhook:
    """Keep an address, readable by its owner alone.

    Raises:
        UserError: no address that begins with http:// or https://.
    """
    webhook = Webhook(url=url)
    _ = webhook.host
    path = root / WEBHOOK
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # one made by hand may be readable by all
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(webhook.model_dump_json())
    (root / NOTIFIED).unlink(missing_ok=True)
    return webhook


def load_webhook(root: Path) -> Webhook | None:
    """Return where messages go; None if nobody is told.

    Raises:
        UserError: the file is damaged.
    """
    path = root / WEBHOOK
    if not path.is_file():
        return None
    try:
        return Webhook.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError):
        raise UserError(str(WEBHOOK), "is damaged", _MEND) from None


def stop_telling(root: Path) -> None:
    """Forget the address."""
    for path in (WEBHOOK, NOTIFIED):
        (root / path).unlink(missing_ok=True)


def try_webhook(root: Path) -> str:
    """Send a message and say that it arrived.

    Raises:
        UserError: no webhook is set, or the message did not arrive.
    """
    webhook = load_webhook(root)
    if webhook is None:
        raise UserError("--test", "no webhook is set", "Set one with `ganlift notify URL`")
    message = Message(event="test", dataset=data_set(root), line="messages arrive here.")
    if said := _sent(root, webhook, message):
        raise UserError(webhook.host, f"the message did not arrive: {said}", _MEND)
    return f"The message arrived at {webhook.host}."


def how_it_is(root: Path) -> str:
    """Return what is set, and how the last message went, for a person.

    Raises:
        UserError: the file is damaged.
    """
    webhook = load_webhook(root)
    if webhook is None:
        return "Nobody is told. `ganlift notify URL` sets a webhook."
    last = root / NOTIFIED
    told = last.read_text(encoding="utf-8").strip() if last.is_file() else "none was sent yet"
    return f"Messages go to {webhook.host}; its whole address is in {WEBHOOK}.\nThe last: {told}"


def tell(root: Path, message: Message) -> None:
    """Send a message, if a webhook is set; what came of it is logged, never raised.

    A failure is noted for ``ganlift history`` too.
    """
    if message.event == "failed":
        note_failure(root, message.line)
    try:
        webhook = load_webhook(root)
        if webhook is None:
            return
        said = _sent(root, webhook, message)
        _log(f"told {webhook.host}" if said is None else f"could not tell {webhook.host}: {said}")
    except (UserError, OSError) as error:
        _log(f"nobody could be told: {error}")


@contextmanager
def failures_told(root: Path) -> Iterator[None]:
    """Tell of what fails inside; a stop by a person is no `Exception`, and no failure."""
    try:
        yield
    except Exception as error:
        line = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        tell(root, Message(event="failed", dataset=data_set(root), line=line))
        raise


def _sent(root: Path, webhook: Webhook, message: Message) -> str | None:
    said = webhook.send(message)
    when = datetime.now().astimezone().isoformat(" ", "minutes")
    outcome = "arrived" if said is None else f"did not arrive ({said})"
    line = "".join(letter if letter.isprintable() else " " for letter in message.line)
    (root / NOTIFIED).write_text(f"{when}, {message.event}, {outcome}: {line}\n", encoding="utf-8")
    return said


def _log(line: str) -> None:
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger
    from rich.console import Console

    try:
        get_run_logger().info(line)
    except MissingContextError:  # outside a run
        Console(stderr=True, highlight=False).print(line, markup=False)

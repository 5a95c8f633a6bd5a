from __future__ import annotations

import os
import urllib.request

import httpx
import pytest
import requests

from tasks.contracts.proxies import reach_this_machine_directly

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
LOCAL = ("http://127.0.0.1:4200/api", "http://localhost:5000/health")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (case for one in NAMES for case in (one, one.upper())):
        monkeypatch.setenv(name, "")  # so that it is put back in the end
        monkeypatch.delenv(name)


def _by_proxy(url: str) -> set[str]:
    """Return the libraries that would ask a proxy for an address."""
    host = httpx.URL(url).host
    with httpx.Client() as client:
        found = client._transport_for_url(httpx.URL(url)) is not client._transport
    by = {"httpx"} if found else set()
    if not urllib.request.proxy_bypass(host) and urllib.request.getproxies().get("http"):
        by.add("urllib")
    return by | ({"requests"} if requests.utils.get_environ_proxies(url) else set())


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
def test_this_machine_is_reached_directly_and_others_by_the_proxy(
    name: str, upper: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name.upper() if upper else name, "http://10.0.0.1:3128")
    before = _by_proxy("http://mlflow.example:5000/")
    assert before >= {"httpx", "requests"}
    assert _by_proxy(LOCAL[0]) == before
    reach_this_machine_directly()
    assert [_by_proxy(url) for url in LOCAL] == [set(), set()]
    assert _by_proxy("http://mlflow.example:5000/") == before


@pytest.mark.parametrize(
    ("lower", "upper", "then"),
    [
        ("a.example", None, ["a.example,127.0.0.1,localhost"] * 2),
        (None, "a.example, localhost", ["a.example,localhost,127.0.0.1"] * 2),
        ("a", "b", ["a,127.0.0.1,localhost", "b,127.0.0.1,localhost"]),
        ("*", "*", ["*", "*"]),
    ],
)
def test_what_no_proxy_named_stays(
    lower: str | None, upper: str | None, then: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("no_proxy", lower), ("NO_PROXY", upper)):
        if value is not None:
            monkeypatch.setenv(name, value)
    for _ in range(2):  # a child of a child adds nothing
        reach_this_machine_directly()
        assert [os.environ["no_proxy"], os.environ["NO_PROXY"]] == then


@pytest.mark.parametrize("scheme", ["socks", "socks4", "SOCKS5"])
def test_a_socks_proxy_that_no_client_can_use_stops_none(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.contracts.proxies.find_spec", lambda _: None)
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://10.0.0.1:1080")
    monkeypatch.setenv("https_proxy", "http://10.0.0.1:3128")
    reach_this_machine_directly()
    assert "ALL_PROXY" not in os.environ
    assert os.environ["https_proxy"] == "http://10.0.0.1:3128"
    assert _by_proxy(LOCAL[0]) == set()


def test_a_socks_proxy_that_can_be_used_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.contracts.proxies.find_spec", lambda _: object())
    monkeypatch.setenv("ALL_PROXY", "socks5h://10.0.0.1:1080")
    reach_this_machine_directly()
    assert os.environ["ALL_PROXY"] == "socks5h://10.0.0.1:1080"

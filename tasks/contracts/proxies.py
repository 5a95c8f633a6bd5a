"""Proxies, as the environment names them, are for other machines: never for this one."""

from __future__ import annotations

import os
from importlib.util import find_spec

LOCAL = ("127.0.0.1", "localhost")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_EXCEPT = "no_proxy"


def reach_this_machine_directly() -> None:
    """Change this process's environment, and so its children's; call before any HTTP client.

    `LOCAL` joins what ``no_proxy`` names. A SOCKS proxy that httpx cannot use (``socks5`` asks
    for the package socksio, other kinds it never takes) is left out: by it httpx fails for every
    address, those in ``no_proxy`` too. Both cases of each name are looked at, since libraries
    differ in which of them they read.
    """
    for name in (case for proxy in _PROXIES for case in (proxy, proxy.upper())):
        scheme = os.environ.get(name, "").partition("://")[0].lower()
        usable = scheme in ("socks5", "socks5h") and find_spec("socksio") is not None
        if scheme.startswith("socks") and not usable:
            del os.environ[name]
    told = {name: os.environ.get(name, "") for name in (_EXCEPT, _EXCEPT.upper())}
    for name, hosts in told.items():
        known = [host.strip() for host in (hosts or max(told.values())).split(",") if host.strip()]
        if "*" not in known:  # which stands for all, and to urllib only alone
            os.environ[name] = ",".join([*known, *(one for one in LOCAL if one not in known)])

"""Access: which requests are allowed, before a body is read: by host name, origin and token."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from nightloop.tasks.plan.errors import PlanError

OPEN = "/health"  # answered without the token: health probes have no token
SHORTEST = 16  # characters of a token
NAME = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|([\w.-]+)(?::\d{1,5})?", re.ASCII)


class Access:
    """ASGI middleware: 400 if the `Host` header names no host of this server, 403 if a page of another origin
    asks, 401 if the token is missing or wrong.

    `hosts` are the names that may be called, `*.example.com` for all names below one; None allows every name. IP
    addresses and localhost may always be called: probes call a server by its address, and a page of another site that
    was given this server's address (DNS rebinding) calls it by that site's name.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] | None = None, token: str = "") -> None:
        """Raises PlanError if a host or the token cannot be one."""
        self.app, self.hosts = app, None if hosts is None else [checked_host(host) for host in hosts]
        self._token = checked_token(token).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer why it is refused."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self.app(scope, receive, send)
            return
        status, words = refusal
        headers = {"www-authenticate": "Bearer"} if status == 401 else None
        await JSONResponse({"error": words}, status, headers)(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        called, origins = headers.getlist("host"), headers.getlist("origin")
        if self.hosts is not None and not self._is_ours(called, scope["http_version"]):
            return 400, (
                f"host {', '.join(called)[:80]!r} is not allowed; allowed are {', '.join(['localhost', *self.hosts])} "
                "and IP addresses. The server's option --allow-host allows another"
            )
        if any(_authority(origin) not in [host.lower() for host in called] for origin in origins):
            return 403, f"origin {origins[0][:80]!r} is not allowed: pages of other sites may not use this server"
        scheme, _, token = headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(token.strip().encode("latin-1"), self._token)
        if self._token and scope["path"] != OPEN and not (same and scheme.lower() == "bearer"):
            return 401, "send the server's token, as the header authorization: Bearer TOKEN"
        return None

    def _is_ours(self, called: Sequence[str], version: str) -> bool:
        """Whether the `Host` headers of a request are one name of this server. HTTP/1.0 needs none."""
        match = NAME.fullmatch(called[0]) if len(called) == 1 else None
        if match is None:
            return not called and version == "1.0"
        name = (match[1] or match[2]).lower().rstrip(".")
        return name == "localhost" or _is_address(name) or any(fnmatchcase(name, host) for host in self.hosts or ())


def checked_host(host: str) -> str:
    """A host name as it is compared. Raises PlanError if it is not one."""
    name = host.lower().rstrip(".")
    if not re.fullmatch(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", name, re.ASCII):
        raise PlanError(
            f"host {host[:80]!r} is not a host name: give one without a port, such as rec.example.com or *.example.com"
        )
    return name


def checked_token(token: str) -> str:
    """The token, or empty. Raises PlanError, without the token in it, if it is short or cannot be sent in a header."""
    if token and not re.fullmatch(rf"[!-~]{{{SHORTEST},1000}}", token):
        raise PlanError(
            f"NIGHTLOOP_SERVE_TOKEN must have {SHORTEST} to 1,000 printable ASCII characters without spaces: "
            "openssl rand -hex 32 makes one"
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether a listening address can be reached only from the same machine."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _authority(origin: str) -> str:
    """Host and port of an origin; empty if no server can have it, such as null."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""

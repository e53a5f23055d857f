"""Connection strings of PostgreSQL, parsed as libpq does, to separate the password from the rest."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from nightloop.tasks.plan.errors import PlanError
from nightloop.tasks.plan.nearest import nearest

SCHEMES = ("postgresql://", "postgres://")
FORMS = "postgres:dbname=... host=... user=... or postgres:postgresql://user@host:5432/dbname"
DEADLINES = "connect_timeout=30 keepalives_idle=30 keepalives_interval=10 keepalives_count=3 tcp_user_timeout=60000"
# libpq: a keyword, an equals sign, and a value that is quoted, or ends at the next space.
PAIR = re.compile(r"\s*([^\s=']+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s\\']|\\.)(?:[^\s\\]|\\.)*)?)(?:\s+|$)", re.S)


KEYWORDS = (
    "host", "hostaddr", "port", "dbname", "user", "password", "passfile", "service", "servicefile", "channel_binding",
    "connect_timeout", "client_encoding", "options", "application_name", "fallback_application_name", "keepalives",
    "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "sslmode", "sslnegotiation",
    "sslcompression", "sslcert", "sslkey", "sslpassword", "sslrootcert", "sslcrl", "sslcrldir", "sslsni", "requirepeer",
    "requiressl", "require_auth", "ssl_min_protocol_version", "ssl_max_protocol_version", "sslcertmode", "krbsrvname",
    "gsslib", "gssencmode", "gssdelegation", "target_session_attrs", "load_balance_hosts", "replication",
)  # fmt: skip


class Catalog(NamedTuple):
    """A connection string without the password, as keywords and values; and the password, empty if there is none."""

    server: str
    password: str

    @property
    def with_deadlines(self) -> str:
        """The connection string, with deadlines for a server that does not answer, unless it has its own.

        libpq waits for ever by default: a night would hold its pipeline's lease meanwhile.
        """
        return f"{DEADLINES} {self.server}"  # of a keyword that is given twice, the last one counts


def read_catalog(text: str) -> Catalog:
    """Parse a connection string. Raises PlanError if libpq could not read it; the message does not contain the text."""
    values = keywords(text)
    if unknown := [key for key in values if key not in KEYWORDS]:
        meant = nearest(unknown[0][:40], KEYWORDS)
        raise PlanError(f"{unknown[0][:40]!r} is not a keyword of libpq{meant}: write keyword=value, as in {FORMS}")
    password = values.pop("password", "")
    return Catalog(" ".join(f"{key}={_quote(value)}" for key, value in values.items()), password)


def keywords(text: str) -> dict[str, str]:
    """The keywords of a connection string with their values. Raises PlanError if libpq could not read it."""
    if text.startswith(SCHEMES):
        return _of_uri(text.partition("://")[2])
    values, at = {}, 0
    text = text.strip()
    while at < len(text):
        pair = PAIR.match(text, at)
        if pair is None:
            raise PlanError(
                "it is not a connection string: each part is keyword=value; put a value with spaces or quotes into single "
                "quotes, with a backslash before a quote or a backslash in it"
            )
        key, quoted, bare = pair.groups()
        values[key] = re.sub(r"\\(.)", r"\1", quoted if quoted is not None else bare or "", flags=re.S)
        at = pair.end()
    return values


def _of_uri(rest: str) -> dict[str, str]:
    location, _, query = rest.partition("?")
    server, _, dbname = location.partition("/")
    login, _, hosts = server.rpartition("@")
    user, _, password = login.partition(":")
    addresses = [_host(host) for host in hosts.split(",")]
    if "@" in dbname + query or not all(re.fullmatch(r"\d*", port) for _, port in addresses):
        raise PlanError("it is not a URL that libpq reads: in a password write / ? # and @ as %2F %3F %23 and %40")
    values = {
        "host": ",".join(host for host, _ in addresses), "port": ",".join(port for _, port in addresses), "dbname": dbname,
        "user": user, "password": password,
    }  # fmt: skip
    try:
        values |= {key: value for key, _, value in (part.partition("=") for part in query.split("&") if part)}
        return {unquote(k, errors="strict"): unquote(v, errors="strict") for k, v in values.items() if v.strip(",")}
    except UnicodeDecodeError:
        raise PlanError("it is not a URL: a percent sign in it does not start a UTF-8 character") from None


def _host(text: str) -> tuple[str, str]:
    """Host and port; an IPv6 address is in brackets."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    host, _, port = text.partition(":")
    return host, port


def _quote(value: str) -> str:
    """A value as it is written after its keyword, quoted if necessary."""
    if re.fullmatch(r"[^\s'\\]+", value):
        return value
    return "'" + value.replace("\\", r"\\").replace("'", r"\'") + "'"


def holds_login(url: str) -> bool:
    """Whether a user name or a password stands before the host of a URL."""
    return "@" in url.partition("://")[2].partition("/")[0]


def password_of(catalog: str) -> str:
    """The password in a catalog's setting; empty if there is none or the setting cannot be parsed."""
    try:
        return read_catalog(catalog.removeprefix("postgres:")).password
    except ValueError:
        return ""

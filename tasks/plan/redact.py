"""Redact: mask credentials in every message, log record, state, artifact and report.

There are two independent ways: the values of this process's own credentials are masked everywhere, and so is every text
that has the form of a credential. Masking too much is better than masking too little.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import quote, unquote

from nightloop.tasks.plan.errors import ConflictError, DataError, NotReady, PlanError, StoreError

MASK = "***"
# If the text of an error cannot be changed, it becomes the first of these types that it is an instance of.
REPLACED = (PlanError, DataError, ConflictError, StoreError, NotReady, ValueError, LookupError, OSError)
SHORTEST, WORD = 6, 12  # fewest characters of a value that is masked everywhere, and of one that has only letters:
# masking `test` or `nightloop` everywhere would make messages unreadable. Known forms are masked whatever their length.
# A quick test: a text without any of these words holds no credential of a known form.
HINT = re.compile(
    r"pass|pwd|secret|token|key|auth|sign|credential|bearer|basic|cookie|sig=|--|://|AKIA|ASIA|gh[pousr]_|pn[ub]_", re.I
)
NAMES = (
    r"(?:password|passwd|passphrase|pass|pwd|secret(?:[_-]?(?:access[_-]?)?key)?|token|"
    r"(?:access|api|account|private|storage)[_-]?key(?:[_-]?id)?|"
    r"auth[_-]?string|signature|credential)"
)
FORMS = (
    # password=..., password = 'quoted \' and spaces', ?token=...; a value without quotes goes on to the next space
    # (not what begins with * { | or (: a pattern that finds files or forbids words)
    re.compile(
        NAMES + r"""["']?\s*=\s*(?![*{|(])(\\*(?:'+|"+)(?:\\.|''|[^'"\\])*(?:['"]|\\?$)|(?:\\.|[^\s\\])+)""",
        re.I | re.S,
    ),
    # "password": "..." of JSON, YAML or Python
    re.compile(NAMES + r"""\\*["']\s*:\s*(\\*"(?:\\.|[^"\\])*|\\*'(?:\\.|''|[^'\\])*|[^\s,}\]]+)""", re.I | re.S),
    re.compile(
        r"""(?:\b|_)(?:password|passwd|passphrase|pwd|(?<=_)pass|secret[_-](?:access[_-])?key|api[_-]key)\s*:\s*["']?([^\s"'][^\s"']*)""",
        re.I,
    ),
    # token: 1f09..., whose value is no word (a digit near its begin, so that a text of nothing else is read once)
    re.compile(r"""(?:\b|_)(?:token|secret)\s*:\s*["']?((?=[^\s"',;]{0,200}\d)[^\s"',;]{6,})""", re.I),
    re.compile(r"""(?:\bx-[a-z-]{1,40}token|\bcookie)["']?\s*[:=]\s*["']?([^\s"']+)""", re.I),
    re.compile(r"""--(?:password|token|secret|api-key)(?:[=\s]+|["'],\s*["'])([^\s"']+)""", re.I),
    re.compile(r"""[?&]sig=([^&\s"']+)""", re.I),
    # scheme://user:password@host, and https://token@host
    re.compile(r"""(?<=://)([^\s/?#"'<>@:]{0,512}:[^\s/?#"'<>]{0,4096})@"""),
    # (up to the next ://, so that a text of nothing else is read once and not at each of them anew)
    re.compile(r"""(?<=://)([^\s/?#:"'<>@]{0,512}:(?!\d+(?:[/?#]|\b\s))(?:(?!://)[^\s"'<>]){1,512})@"""),
    re.compile(r"""(?:(?<=http://)|(?<=https://))([^\s/?#"'<>]{1,512})@""", re.I),
    # headers
    re.compile(r"""\bauthorization["']?\s*[:=]\s*["']?(\S+(?:[ \t]+\S+)?)""", re.I),
    re.compile(r"\bbearer\s+([A-Za-z0-9._~+/=-]{12,})", re.I),
    re.compile(r"\bbasic\s+(?=\S*[\d=])([A-Za-z0-9+/=]{8,})", re.I),
    # statements that make a secret
    re.compile(r"\b(?:secret|session_token|key_id|password|token)\s+('(?:[^']|'')*(?:'|$))", re.I),
    # keys that are known by their form
    re.compile(r"\b((?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{20,}|pn[ub]_[A-Za-z0-9]{16,})\b"),
    re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$))", re.S),
)


def redact(text: str) -> str:
    """The text with every credential in it masked."""
    from nightloop.tasks.plan.settings import credentials_of_process  # brings pydantic, which --help does without

    pattern = _values_pattern(credentials_of_process())
    return without_forms(pattern.sub(MASK, text) if pattern else text)


def redacted_head(text: str, most: int) -> str:
    """The first characters of a text. It is masked before it is cut, because a cut may remove the form of a credential."""
    return redact(text)[:most]


def without_forms(text: str) -> str:
    """The text, with everything masked that has the form of a credential."""
    if HINT.search(text):
        for form in FORMS:
            text = form.sub(_mask_match, text)
    return text


def holds_credentials(text: str) -> bool:
    """Whether a part of the text has the form of a credential."""
    return without_forms(text) != text


def redact_error(error: BaseException) -> BaseException:
    """The error, masked together with its causes; a new one if its own text cannot be changed."""
    for link in _chain(error):
        _mask(link)
    for link in _chain(error):  # drop causes that compute their text each time, as pydantic's errors do
        if (cause := link.__cause__ or link.__context__) is not None and _shows_secret(cause):
            link.__cause__ = link.__context__ = None
    if not _shows_secret(error):
        return error
    kind = next((k for k in REPLACED if isinstance(error, k)), RuntimeError)
    return kind(redact(f"{type(error).__name__}: {error}"))


def _mask_match(match: re.Match[str]) -> str:
    """The matched text, with its first group masked."""
    text, start = match.group(), match.start()
    return text[: match.start(1) - start] + MASK + text[match.end(1) - start :]


@lru_cache(maxsize=8)
def _values_pattern(values: tuple[str, ...]) -> re.Pattern[str] | None:
    """A pattern of these values and of their escaped spellings."""
    unusual = [value for value in values if len(value) >= (WORD if value.isalpha() else SHORTEST)]
    spelt = {way for value in unusual for way in _spellings(value) if len(way) >= SHORTEST}
    return re.compile("|".join(map(re.escape, sorted(spelt, key=len, reverse=True)))) if spelt else None


def _spellings(value: str) -> Iterator[str]:
    yield value
    yield from (quote(value, safe=""), quote(value), unquote(value))
    yield from (value.replace("'", "''"), value.replace("\\", "\\\\").replace("'", "\\'"))
    yield from (repr(value)[1:-1], value.replace("\\", "\\\\").replace('"', '\\"'), json.dumps(value)[1:-1])
    yield from (html.escape(value), html.escape(value, quote=False))
    yield base64.b64encode(value.encode(errors="replace")).decode().rstrip("=")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all its causes, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            waiting += link.exceptions


def _mask(error: BaseException) -> None:
    """Mask the texts that an error holds. An error without credentials is not changed."""
    if any(isinstance(word, str) and redact(word) != word for word in error.args):
        error.args = tuple(redact(word) if isinstance(word, str) else word for word in error.args)
    for name in ("strerror", "filename", "filename2") if isinstance(error, OSError) else ():
        if isinstance(word := getattr(error, name), str) and redact(word) != word:
            setattr(error, name, redact(word))
    if notes := getattr(error, "__notes__", None):
        error.__notes__ = [redact(str(note)) for note in notes]


def _shows_secret(error: BaseException) -> bool:
    message = str(error)
    return redact(message) != message

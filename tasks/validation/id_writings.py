r"""Id writings: one id in two writings that programs use for it, in a period or compared with earlier nights.

A UUID with and without hyphens, a number as gid://shopify/Product/12, an id in ObjectId(...), one of Salesforce with 15 and with 18
characters, an integer of 64 or 32 bits with and without a sign, base64 in its two alphabets, é and \u00e9, and an address with and
without a slash at its end, www, or the parameters that a campaign or a session adds, and an IP address in IPv6 or with the port of a
connection. Ids stay as they are written, because a service is asked for them
as they are.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from itertools import product
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa
import pyarrow.compute as pc

from nightloop.tasks.data.vocabulary import Vocabulary
from nightloop.tasks.lake.warehouse import Warehouse
from nightloop.tasks.validation.period_checks import Check

UUID = r"^(?:urn:uuid:)?[{]?[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}[}]?$"
WRAPPED = r"^(?:gid://[^/]+/[^/]+/|(?:ObjectId|UUID|NumberLong|NumberInt)\([\"']?)([^/?\"')]+)(?:[\"']?\)|[?].*)?$"
CODED = "^Z2lkOi8v"  # gid:// in base64
SALESFORCE = "^[0-9A-Za-z]{15}[A-Z0-5]{3}$"
SIGNED = "^-[0-9]{1,19}$"
BASE64 = "^[A-Za-z0-9+/]{10,}[+/=][A-Za-z0-9+/=]*$"
ESCAPED = r"\\u[0-9A-Fa-f]{4}"
TRACKING = (
    r"utm_\w+|(?:fb|g|d|y|tt|tw|ms)clid|[gw]braid|igshid|li_fat_id|srsltid|mc_[ce]id|mkt_tok|_hsenc|_hsmi|_ga|_gl"
    r"|PHPSESSID|phpsessid|[Jj]sessionid|JSESSIONID|ASPSESSIONID\w*|osCsid|zenid|CFID|CFTOKEN|cfid|cftoken"
)
SESSION = ";[Jj][Ss][Ee][Ss][Ss][Ii][Oo][Nn][Ii][Dd]=[^?#/]*"  # what Java adds to a path
# An IPv4 address as a socket of IPv6 has it, or with a port; an IPv6 address with a port.
SOCKET = r"^(?:::[Ff]{4}:)?([0-9]{1,3}(?:[.][0-9]{1,3}){3})(?::[0-9]{1,5})?$|^\[([0-9A-Fa-f:.]+)\]:[0-9]{1,5}$"
# An address of a page that may have another one: with a slash at its end, without https, with www, a fragment or such a parameter.
ADDRESS = rf"^(?:https?://|//|/)[^\s]*(?:/$|[?&](?:{TRACKING})=|#[^/!]|#$|{SESSION})|^http://|^(?:https?:)?//www[.]"
MARKED = "|".join(
    (
        UUID,
        WRAPPED,
        CODED,
        SALESFORCE,
        SIGNED,
        BASE64,
        ESCAPED,
        ADDRESS,
        r"^::[Ff]{4}:[0-9]+[.]|^[0-9]+(?:[.][0-9]+){3}:[0-9]+$|^\[[0-9A-Fa-f:.]+\]:",
    )
)
LETTERS = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"  # of the last three of Salesforce, which say which of the others are capitals
)
COMPARED, MOST = 100_000, 2_000  # known ids that are looked at, and how many of them may be another writing
CHANCE = 0.01  # of the ids that may be another writing: random ones are that in no case


def id_writing_checks(warehouse: Warehouse, vocabulary: Vocabulary | None) -> Iterator[Check]:
    """A check that fails for users, and for items, if more than a few have another writing in a period or among the known ones."""
    rows = warehouse.query("validate/written_ids", {"marked": MARKED})
    for role in ("user", "item"):
        here = rows.filter(pc.equal(rows.column("role"), role)).column("id").to_pylist()
        known = pa.array([], pa.string()) if vocabulary is None else vocabulary.ids[role].cast(pa.string()).drop_null()
        first_known = known.slice(0, COMPARED)
        before = first_known.filter(pc.match_substring_regex(first_known, MARKED)).slice(0, MOST).to_pylist()
        writings = {id_: _writings(id_) for id_ in dict.fromkeys((*here, *before))}
        asked = list({other for others in writings.values() for other in others})
        if not asked:
            continue
        there = {*warehouse.query("validate/ids_there", {"role": role, "ids": asked}).column("id").to_pylist()}
        anywhere = there | {*known.filter(pc.is_in(known, pa.array(asked))).to_pylist()}
        pairs, twins = [], {_plainest(id_, writings[id_]): id_ for id_ in reversed(before)}
        for id_ in here:
            first = twins.setdefault(_plainest(id_, writings[id_]), id_)
            if others := (writings[id_] & anywhere) | ({first} - {id_}):
                pairs.append((id_, min(others)))
        plain = there - {*here}
        pairs += [(id_, min(others)) for id_ in {*before} - {*here} if (others := writings[id_] & plain)]
        if len(pairs) > CHANCE * len(here):
            pairs.sort()
            first, other = pairs[0]
            how = ", an address without the parameters of campaigns and sessions" if re.search(ADDRESS, first) else ""
            example = f"{first[:80]!r} and {other[:80]!r}. Are they one {role}? Write each id in one way{how}, as the service is asked"
            yield Check(f"{role}s in two writings", "warn", float(len(pairs)), high=0.0, example=example)


def _plainest(id_: str, others: set[str]) -> str:
    return min({id_, *others}, key=lambda form: (len(form), form))


def _writings(id_: str) -> set[str]:
    """Other writings of an id."""
    if re.search(ADDRESS, id_):
        found = _addresses(id_)
    elif socket := re.match(SOCKET, id_):
        found = {socket[1] or socket[2]}
    elif re.match(UUID, id_):
        plain = id_.removeprefix("urn:uuid:").strip("{}")
        found = {form for text in (plain.lower(), plain.upper()) for form in (text, text.replace("-", ""))}
    elif re.match(CODED, id_):
        gid = _decoded(id_)
        found = {gid, gid.rpartition("/")[2].partition("?")[0]} if gid else set()
    elif wrapped := re.match(WRAPPED, id_):
        found = {wrapped[1]}
    elif re.match(SIGNED, id_):
        number = int(id_)
        found = {str(number + 2**bits) for bits in (32, 64) if number >= -(2 ** (bits - 1))}
    elif re.match(SALESFORCE, id_):
        found = {id_[:15]} if id_[15:] == _last_three(id_) else set()
    elif re.search(ESCAPED, id_):
        found = {re.sub(ESCAPED, lambda code: chr(int(code[0][2:], 16)), id_)}
    else:
        other = id_.replace("+", "-").replace("/", "_")
        found = {other, other.rstrip("="), id_.rstrip("=")}
    return {form for form in found if form and form.isprintable()} - {id_}


def _decoded(id_: str) -> str:
    try:
        return b64decode(id_ + "=" * (-len(id_) % 4), validate=True).decode()
    except ValueError:
        return ""


def _last_three(id_: str) -> str:
    parts = (id_[start : start + 5] for start in (0, 5, 10))
    return "".join(LETTERS[sum(letter.isupper() << place for place, letter in enumerate(part))] for part in parts)


def _addresses(id_: str) -> set[str]:
    """An address without what a campaign adds, with and without a slash at its end, https and www."""
    try:
        url = urlsplit(id_)
    except ValueError:  # no address
        return set()
    pairs = parse_qsl(url.query, keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if not re.fullmatch(TRACKING, name)]
    query = url.query if len(kept) == len(pairs) else urlencode(kept)
    fragment = url.fragment if url.fragment.startswith(("/", "!")) else ""
    bare = url.netloc.removeprefix("www.")
    hosts = dict.fromkeys((bare, f"www.{bare}")) if url.netloc else ("",)
    schemes = ("https", "http") if url.scheme else ("",)
    path = re.sub(SESSION, "", url.path).rstrip("/")
    return {
        urlunsplit((scheme, host, path + slash, query, fragment))
        for scheme, host, slash in product(schemes, hosts, ("", "/"))
    }

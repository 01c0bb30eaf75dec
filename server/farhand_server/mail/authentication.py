"""Whether the organisation's own mail server vouches for who a mail says it is from.

The server in front judges SPF, DKIM and DMARC and writes what it found into an
`Authentication-Results` header (RFC 8601).  Anybody can write such a header, so only one whose
first word, the authserv-id, is configured here counts; the server takes away what strangers wrote
in its name (RFC 8601 s5), and puts its own on top, so of each method the topmost word counts.

| what our server says | |
|---|---|
| `dmarc=pass`, of the domain in From | vouched for |
| any other `dmarc`, but for `none` | not |
| no `dmarc`, and `dkim=pass` or `spf=pass` of that domain or one above it | vouched for |
| anything else, nothing at all, several authors | not |

What is not vouched for is not known to be a lie: mail that was passed on loses all of it.  It is
heard as a stranger's (`mail.placing`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from farhand_protocol.errors import UsageError
from farhand_server.mail.headers import unfold
from farhand_server.mail.parsed import AuthResult, ParsedMail

__all__ = ["AUTHSERVS", "MAX_AUTHSERVS", "check_authservs", "is_vouched_for", "read_results"]

# The setting with the names of our own servers; with none of them nobody is asked to vouch.
AUTHSERVS: Final = "mail.authservs"
MAX_AUTHSERVS: Final = 10
_MAX_HEADERS: Final = 20
_MAX_RESULTS: Final = 60
_MAX_HEADER_CHARS: Final = 8_000
_METHODS: Final = ("dmarc", "dkim", "spf")
# Which property of a result says of whom it is, the likeliest first (RFC 8601 s2.7).
_OF_WHOM: Final = {
    "dmarc": ("header.from",),
    "dkim": ("header.d", "header.i"),
    "spf": ("smtp.mailfrom", "smtp.helo"),
}
_RESULT = re.compile(r"([a-z0-9-]+)(?:/\d+)?=([a-z]+)\Z")
_AROUND = re.compile(r"[ \t]{0,40}=[ \t]{0,40}")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,252}[a-z0-9])?\Z")


def check_authservs(names: Collection[str]) -> list[str]:
    """Return names of servers as they are compared.

    Raises:
        UsageError: `mail-authserv`.
    """
    found = sorted({one.strip().lower() for one in names})
    if len(found) > MAX_AUTHSERVS:
        raise UsageError("mail-authserv", f"there are at most {MAX_AUTHSERVS} of them")
    for one in found:
        if _NAME.match(one) is None:
            raise UsageError(
                "mail-authserv",
                f"{one[:80]!r} is no authserv-id",
                hint="the first word of Authentication-Results: mx.example.com",
            )
    return found


def read_results(headers: Iterable[str]) -> tuple[AuthResult, ...]:
    """Return what `Authentication-Results` headers say, the topmost first; bounded."""
    found: list[AuthResult] = []
    for place, value in enumerate(islice(headers, _MAX_HEADERS)):
        server, *results = _without_comments(unfold(value)[:_MAX_HEADER_CHARS]).split(";")
        name = (server.split() or [""])[0].strip('"').lower()
        found += [one for text in results if (one := _result(place, name, text)) is not None]
    return tuple(found[:_MAX_RESULTS])


def is_vouched_for(mail: ParsedMail, servers: Collection[str]) -> bool:
    """Tell whether one of our own servers vouches for the author of a mail.

    Args:
        mail: what was understood of it.
        servers: the authserv-ids of ours.
    """
    if len(mail.authors) != 1 or mail.sender != mail.authors[0]:
        return False
    domain = mail.authors[0].mail.rpartition("@")[2]
    ours = [one for one in mail.authentication if one.server in servers]
    said = {method: _topmost(ours, method) for method in _METHODS}
    judged = [one for one in said["dmarc"] if one.result != "none"]
    if judged:
        return judged[0].result == "pass" and judged[0].domain in ("", domain)
    return any(
        one.result == "pass" and _covers(one.domain, domain)
        for one in (*said["dkim"], *said["spf"])
    )


class _Of(NamedTuple):
    result: str
    domain: str


def _topmost(results: Iterable[AuthResult], method: str) -> list[_Of]:
    """Return what the topmost header with this method says of it; of several signatures each."""
    found: list[_Of] = []
    place: int | None = None
    for one in results:
        if one.method == method and place in (None, one.header):
            place = one.header
            found.append(_Of(one.result, one.domain))
    return found


def _covers(domain: str, author: str) -> bool:
    """Tell whether a domain is the author's, or one above it; a single label is nobody's."""
    return "." in domain and (author == domain or author.endswith(f".{domain}"))


def _result(place: int, server: str, text: str) -> AuthResult | None:
    first, *rest = _AROUND.sub("=", text).split() or [""]
    match = _RESULT.match(first.lower())
    if match is None or match[1] not in _METHODS:
        return None
    properties: dict[str, str] = {}
    for one in rest:
        name, equals, value = one.partition("=")
        if equals:
            properties.setdefault(name.lower(), value.strip('"<>').lower())
    whom = next((properties[name] for name in _OF_WHOM[match[1]] if name in properties), "")
    return AuthResult(
        header=place, server=server, method=match[1], result=match[2], domain=_domain(whom)
    )


def _domain(text: str) -> str:
    return text.rpartition("@")[2].rstrip(".")[:253]


def _without_comments(value: str) -> str:
    """Return a header without what stands in parentheses, which nest and may be quoted."""
    return "".join(_bare(value))


def _bare(value: str) -> Iterator[str]:
    depth, quoted, escaped = 0, False, False
    for one in value:
        if escaped:
            escaped = False
        elif one == "\\":
            escaped = True
            continue
        elif one == '"' and depth == 0:
            quoted = not quoted
        elif one == "(" and not quoted:
            depth += 1
            continue
        elif one == ")" and depth > 0 and not quoted:
            depth -= 1
            yield " "
            continue
        if depth == 0:
            # A semicolon in quotation marks ends nothing; what it is part of is nothing we read.
            yield " " if quoted and one == ";" else one

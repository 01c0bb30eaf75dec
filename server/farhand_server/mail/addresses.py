"""Addresses of a header: groups, quotation marks, comments, names in every charset.

The header is taken apart before anything in it is decoded, so that no encoded comma or bracket
makes an address of what is only a name.  What is in no form an address is left out.

Source: RFC 5322 s3.4, RFC 6531 for addresses beyond ASCII.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from farhand_server.mail.charsets import guess_text
from farhand_server.mail.headers import clean_line, decode_header, unfold
from farhand_server.mail.limits import MAX_ADDRESSES
from farhand_server.mail.parsed import Address

__all__ = ["normalise_address", "read_addresses"]

_MAX_NAME: Final = 120
# RFC 5321 s4.5.3.1: 64 before the @, 255 behind it, 254 together with the brackets of a path.
_MAX_LOCAL: Final = 64
_MAX_ADDRESS: Final = 254
_LOCAL = re.compile(r"[^\s<>()\[\],;:\\\"@]+\Z")
_DOMAIN = re.compile(r"(?:[^\s<>()\[\],;:\\\"@.]{1,63}\.)*[^\s<>()\[\],;:\\\"@.]{1,63}\.?\Z")
_LITERAL = re.compile(r"\[[0-9A-Fa-f.:]{2,45}\]\Z|\[IPv6:[0-9A-Fa-f.:]{2,45}\]\Z", re.IGNORECASE)


def normalise_address(text: str) -> str:
    """Return an address as addresses are compared, "" for what is none.

    Lower case on both sides of the `@` (no provider tells Anna from anna), the domain in its ASCII
    form.
    """
    text = text.strip()
    if text.isascii() is False:
        text = unicodedata.normalize("NFC", guess_text(text.encode("utf-8", "surrogateescape")))
    local, at, domain = text.rpartition("@")
    local = local.strip()
    if len(local) >= 2 and local[0] == local[-1] == '"':
        local = local[1:-1]
    domain = domain.strip()
    if not at or not 0 < len(local) <= _MAX_LOCAL or len(text) > _MAX_ADDRESS:
        return ""
    if _LOCAL.match(local) is None or not local.isprintable():
        return ""
    if _LITERAL.match(domain) is not None:
        return f"{local}@{domain}".lower()
    if _DOMAIN.match(domain) is None or not domain.isprintable():
        return ""
    return f"{local.lower()}@{_ascii_domain(domain.rstrip('.').lower())}"


def _ascii_domain(domain: str) -> str:
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        # No registry has it, but a mail may still say it.
        return domain


def read_addresses(value: str) -> tuple[tuple[Address, ...], bool]:
    """Return the addresses of a header, each once, and whether all of them could be read.

    At most `MAX_ADDRESSES`; further ones are left out.
    """
    found: dict[str, Address] = {}
    good = True
    for phrase, spec, comment in _entries(unfold(value)):
        mail = normalise_address(spec)
        if not mail:
            good = good and not (spec.strip() or phrase.strip())
            continue
        if len(found) >= MAX_ADDRESSES:
            return tuple(found.values()), False
        name = clean_line(decode_header(phrase or comment)[0], max_chars=_MAX_NAME)
        found.setdefault(mail, Address(mail, "" if name.lower() == mail else name))
    return tuple(found.values()), good


def _entries(value: str) -> list[tuple[str, str, str]]:
    """Take a list apart into phrase, address, comment; one walk over it."""
    entries: list[tuple[str, str, str]] = []
    phrase: list[str] = []
    spec: str | None = None
    comment = ""

    def finish() -> None:
        nonlocal spec, comment
        words = "".join(phrase).strip()
        if spec is not None:
            entries.append((words, spec, comment))
        elif words:
            # Without brackets all of it is the address: `anna@example.com (Anna)`.
            entries.append(("", words, comment))
        phrase.clear()
        spec, comment = None, ""

    at = 0
    while at < len(value):
        one = value[at]
        if one == '"':
            end, content = _quoted(value, at)
            # `"a b"@x` needs its marks, `"a, b" <c@d>` does not.
            phrase.append(f'"{content}"' if value[end : end + 1] == "@" else content)
            at = end
            continue
        if one == "(":
            at, comment = _comment(value, at)
            continue
        if one == "<":
            end = value.find(">", at)
            end = len(value) if end < 0 else end
            if spec is None:
                # An old route `<@a,@b:c@d>` ends in the address.
                spec = value[at + 1 : end].strip()
                spec = spec.rpartition(":")[2] if spec.startswith("@") else spec
            at = end + 1
            continue
        if one in ",;":
            finish()
        elif one == ":" and "@" not in "".join(phrase[-_MAX_NAME:]):
            # The name of a group.
            phrase.clear()
        else:
            phrase.append(one)
        at += 1
    finish()
    return entries


def _quoted(value: str, start: int) -> tuple[int, str]:
    content: list[str] = []
    at = start + 1
    while at < len(value) and value[at] != '"':
        if value[at] == "\\" and at + 1 < len(value):
            at += 1
        content.append(value[at])
        at += 1
    return at + 1, "".join(content)


def _comment(value: str, start: int) -> tuple[int, str]:
    depth, at = 0, start
    while at < len(value):
        if value[at] == "\\":
            at += 1
        elif value[at] == "(":
            depth += 1
        elif value[at] == ")":
            depth -= 1
            if depth == 0:
                return at + 1, value[start + 1 : at]
        at += 1
    return len(value), value[start + 1 :]

"""A mail's parts: the standard library's compat32 parser, kept within bounds.

Only `multipart/*` is opened.  `message/rfc822` and its like stay closed (one of their bytes may be
another mail's boundary), so depth is that of multiparts alone.  Each bound is checked while the
parser works, since it would build any number of parts first: `attach` is called for each.

The library's own reading of Content-Type is not used: it takes quadratic time and raises for some.
Source: RFC 2045, RFC 2046.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from typing import Any, cast

from farhand_server.mail.headers import Parameters, decode_base64, read_parameters
from farhand_server.mail.limits import MAX_DEPTH, MAX_HEADER_CHARS, MAX_HEADERS, MAX_PARTS

__all__ = ["Part", "TooMuch", "read_header_block", "read_parts"]

_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,100}\Z")


class TooMuch(Exception):
    """More parts, or deeper ones, than are looked at; `reason` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Part(Message):
    """One part with its headers as they came, bounded in number and length."""

    def __init__(self, policy: Any = compat32) -> None:
        super().__init__(policy)
        self.depth = 0
        self.count = [1]
        self.cut = False
        self.children: list[Part] = []
        self._fields: list[tuple[str, str]] = []
        self._text = ""
        self._type: Parameters | None = None

    # What the library's parser calls.

    def set_raw(self, name: str, value: str) -> None:
        """Keep a header of the source, unless there are too many; a giant is cut."""
        if len(self._fields) >= MAX_HEADERS:
            self.cut = True
            return
        if len(value) > MAX_HEADER_CHARS:
            self.cut = True
            value = value[:MAX_HEADER_CHARS]
        self._fields.append((name, value))
        super().set_raw(name, value)

    def set_payload(self, payload: Any, charset: Any = None) -> None:
        """Keep the content of a part that has no parts."""
        self._text = payload
        super().set_payload(payload, charset)

    def attach(self, payload: Any) -> None:
        """Take a part in; raises `TooMuch`."""
        payload.depth = self.depth + 1
        payload.count = self.count
        self.count[0] += 1
        if self.count[0] > MAX_PARTS:
            raise TooMuch("too-many-parts")
        if payload.depth > MAX_DEPTH:
            raise TooMuch("too-deep")
        self.children.append(payload)
        super().attach(payload)

    def get_content_type(self) -> str:
        """Return what to open the part as: nothing but multiparts is opened."""
        kind = self.kind
        return kind if kind.startswith("multipart/") else "application/octet-stream"

    def get_content_maintype(self) -> str:
        """Return the first half of that."""
        return self.get_content_type().partition("/")[0]

    def get_boundary(self, failobj: Any = None) -> Any:
        """Return the boundary as the sender wrote it, without blanks behind it."""
        return self.typed.named.get("boundary", "").rstrip() or failobj

    # What the rest of the package reads.

    @property
    def typed(self) -> Parameters:
        """Return the Content-Type, in lower case, with its parameters."""
        if self._type is None:
            self._type = read_parameters(self.header("content-type"))
        return self._type

    @property
    def kind(self) -> str:
        """Return what the sender says it is, `text/plain` where that is nothing."""
        kind = "".join(self.typed.value.split())
        if kind == "text":
            return "text/plain"
        if _TYPE.match(kind):
            return kind
        # Something was said that nobody understands: to be kept, not to be read out.
        return "application/octet-stream" if kind else "text/plain"

    def header(self, name: str) -> str:
        """Return the first header of a name, with surrogates, "" where there is none."""
        return next(self.headers(name), "")

    def headers(self, name: str) -> Iterator[str]:
        """Return all headers of a name, in their order."""
        wanted = name.lower()
        return (value for key, value in self._fields if key.lower() == wanted)

    def header_names(self) -> Iterator[str]:
        """Return the names of all headers, in lower case."""
        return (key.lower() for key, _ in self._fields)

    def raw_content(self) -> bytes:
        """Return the content as it stands in the mail."""
        raw = self._text.encode("utf-8", "surrogateescape")
        # The last line end belongs to the boundary behind it.
        if self.depth:
            return raw.removesuffix(b"\n").removesuffix(b"\r")
        return raw

    def content(self) -> bytes:
        """Return the content with its transfer encoding undone, as far as that goes."""
        raw = self.raw_content()
        match self.header("content-transfer-encoding").strip().strip("\"'").lower():
            case "base64":
                return decode_base64(raw)
            case "quoted-printable":
                return binascii.a2b_qp(raw)
            case "x-uuencode" | "uuencode" | "x-uue" | "uue":
                return _uudecode(raw)
            case _:
                return raw


def read_parts(raw: bytes) -> Part:
    """Return a mail's parts.

    Raises:
        TooMuch: `too-many-parts`, `too-deep`.
    """
    return cast(Part, _parser().parsebytes(raw))


def read_header_block(raw: bytes) -> Part:
    """Return the headers of a mail or of a block of a report, without what follows them."""
    raw = raw[: 4 * MAX_HEADER_CHARS].lstrip(b"\r\n")
    return cast(Part, _parser().parsebytes(raw, headersonly=True))


def _parser() -> BytesParser:
    return BytesParser(Part, policy=compat32)


def _uudecode(raw: bytes) -> bytes:
    content = bytearray()
    begun = False
    for line in raw.splitlines():
        if not begun:
            begun = line.startswith(b"begin ")
        elif line.strip() in (b"end", b"`", b""):
            break
        else:
            try:
                content += binascii.a2b_uu(line)
            except binascii.Error:
                # Some encoders pad a line with what does not belong to it.
                size = (((line[0] - 32) & 63) * 4 + 5) // 3
                try:
                    content += binascii.a2b_uu(line[:size])
                except binascii.Error:
                    break
    return bytes(content)

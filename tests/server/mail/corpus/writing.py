"""Mail written by hand, byte by byte, since no library writes what mail programs really send."""

from __future__ import annotations

import base64
import quopri
from collections.abc import Mapping
from email.header import Header

__all__ = ["DATE", "addressed", "alternative", "mail", "multipart", "part", "words"]

DATE = "Sun, 22 Nov 2026 10:15:00 +0100"


def words(text: str, charset: str = "utf-8") -> str:
    """Return text as a header carries it."""
    return text if text.isascii() else Header(text, charset, maxlinelen=70).encode()


def addressed(name: str, address: str) -> str:
    """Return a name and an address as a header carries them."""
    return f"{words(name)} <{address}>"


def part(
    text: str,
    *,
    kind: str = "plain",
    charset: str = "utf-8",
    encoding: str = "8bit",
    more: str = "",
) -> bytes:
    """Return headers and content of a text."""
    content = text.replace("\n", "\r\n").encode(charset)
    if encoding == "base64":
        content = base64.encodebytes(content).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        content = quopri.encodestring(content).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    head = (
        f"Content-Type: text/{kind}; charset={charset}{more}\r\n"
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + content


def multipart(kind: str, *parts: bytes, boundary: str = "=_corpus", more: str = "") -> bytes:
    """Return headers and content of parts."""
    head = f'Content-Type: multipart/{kind}; boundary="{boundary}"{more}\r\n\r\n'
    body = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), one) for one in parts)
    return head.encode() + body + b"--%s--\r\n" % boundary.encode()


def alternative(plain: str, html: str, *, charset: str = "utf-8") -> bytes:
    """Return a text in both forms, as most programs send it."""
    return multipart(
        "alternative",
        part(plain, charset=charset, encoding="quoted-printable"),
        part(html, kind="html", charset=charset, encoding="quoted-printable"),
        boundary="000000000000alt",
    )


def mail(headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a mail: headers in their order, then a part as `part` and its like make it.

    A header that is empty is left out; From, To, Date and MIME-Version are there without asking.
    """
    given = {"Date": DATE, "MIME-Version": "1.0", **headers}
    lines = [f"{name}: {value}" for name, value in given.items() if value]
    head = "".join(f"{line}\r\n" for line in lines)
    return head.encode("utf-8", "surrogateescape") + body

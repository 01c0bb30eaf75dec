"""What a printer says of itself by IPP: its state, why it stops, how much is left in it.

One request, Get-Printer-Attributes (RFC 8011 section 4.2.5, encoding RFC 8010), over HTTP at port
631; the answer is bounded and read strictly.
"""

from __future__ import annotations

import http.client
import struct
from typing import Final, NamedTuple

from farhand_agent.probes.reaching import TIMEOUT_S, address_of
from farhand_protocol.errors import FarhandError

__all__ = ["Printer", "ask_printer", "read_answer", "request_for"]

PORT: Final = 631
_MAX_ANSWER_BYTES: Final = 256 * 1024
_MAX_ATTRIBUTES: Final = 2000
_GET_PRINTER_ATTRIBUTES: Final = 0x000B
_WANTED: Final = (
    "printer-state", "printer-state-reasons", "printer-is-accepting-jobs", "marker-levels",
    "marker-names",
)  # fmt: skip
# Tags of RFC 8010 section 3.5.
_OPERATION, _END = 0x01, 0x03
_KEYWORD, _URI, _CHARSET, _LANGUAGE = 0x44, 0x45, 0x47, 0x48
_INTEGER, _BOOLEAN, _ENUM = 0x21, 0x22, 0x23
_STATES: Final = {3: "idle", 4: "processing", 5: "stopped"}


class Printer(NamedTuple):
    """A printer's word on itself.

    `levels` are percent of each marker (ink, toner) that says so, by name; `reasons` are keywords
    such as `media-jam-error`.
    """

    state: str
    accepts: bool
    reasons: list[str]
    levels: dict[str, int]


def ask_printer(host: str, *, port: int = PORT, timeout_s: float = TIMEOUT_S) -> Printer:
    """Ask a printer for its state.

    Raises:
        FarhandError: `probe-no-name`, `probe-failed`.
    """
    address = address_of(host, port)
    connection = http.client.HTTPConnection(address.where[0], port, timeout=timeout_s)
    try:
        connection.request(
            "POST",
            "/ipp/print",
            body=request_for(f"ipp://{host}/ipp/print"),
            headers={"Content-Type": "application/ipp", "User-Agent": "farhand-agent"},
        )
        answer = connection.getresponse()
        data = answer.read(_MAX_ANSWER_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        words = f"{host}:{port}: {type(error).__name__}"
        raise FarhandError("probe-failed", words, detail=str(error)) from error
    finally:
        connection.close()
    if answer.status != http.client.OK or len(data) > _MAX_ANSWER_BYTES:
        raise FarhandError("probe-failed", f"{host}:{port}: HTTP {answer.status} and no IPP")
    return read_answer(data)


def request_for(uri: str) -> bytes:
    """Return the request for what is looked at."""
    head = struct.pack(">BBHI", 1, 1, _GET_PRINTER_ATTRIBUTES, 1)
    attributes = [
        (_CHARSET, "attributes-charset", "utf-8"),
        (_LANGUAGE, "attributes-natural-language", "en"),
        (_URI, "printer-uri", uri),
        *(
            (_KEYWORD, "requested-attributes" if n == 0 else "", name)
            for n, name in enumerate(_WANTED)
        ),
    ]
    return head + bytes([_OPERATION]) + b"".join(_attribute(*one) for one in attributes) + b"\x03"


def _attribute(tag: int, name: str, value: str) -> bytes:
    parts = [bytes([tag])]
    for text in (name.encode(), value.encode()):
        parts += [struct.pack(">H", len(text)), text]
    return b"".join(parts)


def read_answer(data: bytes) -> Printer:
    """Read a printer's answer.

    Raises:
        FarhandError: `probe-failed` for anything that is none, or says that it failed.
    """
    try:
        _, status, _ = struct.unpack_from(">HHI", data)
        if status >= 0x0100:
            raise FarhandError("probe-failed", f"the printer answered with IPP status {status:#x}")
        values = _values(data[8:])
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise FarhandError("probe-failed", "the printer's answer cannot be read") from error
    states = values.get("printer-state", [])
    if not states or states[0] not in _STATES:
        raise FarhandError("probe-failed", "the printer does not say its state")
    levels = zip(values.get("marker-names", []), values.get("marker-levels", []), strict=False)
    return Printer(
        state=_STATES[int(states[0])],
        accepts=bool((values.get("printer-is-accepting-jobs") or [True])[0]),
        reasons=[
            one
            for one in values.get("printer-state-reasons", [])
            if isinstance(one, str) and one != "none"
        ],
        levels={
            str(name)[:40]: level
            for name, level in levels
            if isinstance(level, int) and 0 <= level <= 100
        },
    )


def _values(data: bytes) -> dict[str, list[int | str | bool]]:
    """Return the attributes that are read here, by name; nested collections are passed over."""
    found: dict[str, list[int | str | bool]] = {}
    at, name, count = 0, "", 0
    while data[at] != _END:
        tag = data[at]
        at += 1
        if tag < 0x10:
            continue  # the beginning of a group
        (length,) = struct.unpack_from(">H", data, at)
        named, at = data[at + 2 : at + 2 + length], at + 2 + length
        (length,) = struct.unpack_from(">H", data, at)
        value, at = data[at + 2 : at + 2 + length], at + 2 + length
        if len(value) < length:
            raise IndexError("cut off")
        name = named.decode("ascii") if named else name
        if (count := count + 1) > _MAX_ATTRIBUTES:
            raise IndexError("too many")
        if name in _WANTED:
            found.setdefault(name, []).append(_value(tag, value))
    return found


def _value(tag: int, value: bytes) -> int | str | bool:
    if tag in (_INTEGER, _ENUM):
        number: int = struct.unpack(">i", value)[0]
        return number
    if tag == _BOOLEAN:
        return value == b"\x01"
    return value[:255].decode("utf-8", "replace")

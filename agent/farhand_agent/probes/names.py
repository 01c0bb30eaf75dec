"""Records of the DNS, by dnspython; loaded when a name is asked for, because it is heavy."""

from __future__ import annotations

import time
from typing import Any, Final, NamedTuple

from farhand_agent.probes.reaching import TIMEOUT_S
from farhand_protocol.errors import FarhandError

__all__ = ["Records", "records_of"]

_MAX_RECORDS: Final = 50
_MAX_CHARS: Final = 2000


class Records(NamedTuple):
    """What was answered: texts of the records, none where the name has none of that kind."""

    texts: list[str]
    elapsed_ms: float


def records_of(
    name: str, kind: str, *, server: str = "", port: int = 53, timeout_s: float = TIMEOUT_S
) -> Records:
    """Ask for the records of a name.

    Args:
        name: domain name.
        kind: A, AAAA, MX or TXT.
        server: address of the name server; the device's own ones where empty.
        port: of the server.
        timeout_s: for the whole question.

    Raises:
        FarhandError: `probe-failed` when nobody answers, or not with an answer.
    """
    # Every process that runs checks would pay for this import, and few ask for names.
    import dns.exception
    import dns.resolver

    started = time.monotonic()
    try:
        resolver = dns.resolver.Resolver(configure=not server)
        if server:
            resolver.nameservers, resolver.port = [server], port
        answer: Any = resolver.resolve(name, kind, lifetime=timeout_s, search=False)
        texts = [_text(record) for record in list(answer)[:_MAX_RECORDS]]
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        texts = []
    except (dns.exception.DNSException, OSError, ValueError) as error:
        words = f"{name}: {type(error).__name__}"
        raise FarhandError("probe-failed", words, detail=str(error)) from error
    return Records(texts, (time.monotonic() - started) * 1000)


def _text(record: Any) -> str:
    if hasattr(record, "strings"):
        return b"".join(record.strings)[:_MAX_CHARS].decode("utf-8", "replace")
    return str(record)[:_MAX_CHARS]

"""The relay's HTTP API as the console sees it: the calls, and what they answer."""

from farhand_console.relay.calls import (
    Relay,
    check_url,
    connect_signed_in,
    fetch_certificate,
    read_as,
    segments,
    tls_context,
)

__all__ = [
    "Relay",
    "check_url",
    "connect_signed_in",
    "fetch_certificate",
    "read_as",
    "segments",
    "tls_context",
]

"""How people sign in with an account elsewhere (OpenID Connect): what an admin sets of it.

The client's secret is a file in the relay's home (mode 0600) that the setting names; it is in no
answer, no backup of the settings and no log.  An issuer is https://, or http:// on this machine.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.config import is_loopback
from farhand_server.people.settings import get_setting, set_setting
from farhand_server.relay import Relay

__all__ = ["MAX_DOMAINS", "OidcSettings", "client_secret", "oidc_settings", "set_oidc"]

MAX_DOMAINS: Final = 100
_SETTING: Final = "oidc"
_MAX_SECRET_BYTES: Final = 4096
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}\Z")
_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,250}[a-z0-9])?\Z")

_Text = Annotated[str, msgspec.Meta(max_length=400)]


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider.

    Attributes:
        issuer: its address, exactly as its tokens name it; empty switches this off.
        client_id: what the relay is called there.
        secret_file: name of the file in the relay's home with the client's secret; empty for a
            client without one.
        domains: domains of mail addresses that may sign in; empty admits none.
        makes_requesters: whether somebody unknown gets an account of the role requester.
        asks_own_factor: whether an account's own second factor is asked for all the same.
    """

    issuer: _Text = ""
    client_id: _Text = ""
    secret_file: _Text = ""
    domains: list[_Text] = msgspec.field(default_factory=list)
    makes_requesters: bool = False
    asks_own_factor: bool = False


async def oidc_settings(c: AsyncConnection, tenant: str) -> OidcSettings:
    """Return what is set; without an issuer nobody signs in this way."""
    return await get_setting(c, tenant, _SETTING, OidcSettings, default=OidcSettings())


async def set_oidc(c: AsyncConnection, relay: Relay, settings: OidcSettings, *, actor: str) -> None:
    """Set the provider.

    Raises:
        UsageError: `oidc-settings` for what cannot work or is not safe.
    """
    if settings.issuer:
        _check_issuer(settings.issuer)
        if not settings.client_id or not settings.client_id.isprintable():
            raise UsageError("oidc-settings", "the provider knows the relay by a client id")
    if settings.secret_file and not _FILE.match(settings.secret_file):
        raise UsageError(
            "oidc-settings",
            "the secret's file is named without a folder",
            hint="put it into the relay's home, mode 0600",
        )
    domains = [domain.lower() for domain in settings.domains]
    if len(domains) > MAX_DOMAINS or not all(map(_DOMAIN.match, domains)):
        raise UsageError("oidc-settings", f"domains are at most {MAX_DOMAINS}, as example.org")
    kept = msgspec.structs.replace(settings, domains=domains)
    await set_setting(c, relay, _SETTING, kept, actor)


def _check_issuer(issuer: str) -> None:
    try:
        parts = urlsplit(issuer)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise UsageError("oidc-settings", "the issuer is no address") from error
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not (is_safe and host) or parts.query or parts.fragment or parts.username:
        raise UsageError("oidc-settings", "an issuer is https:// without query or name")


def client_secret(relay: Relay, settings: OidcSettings) -> str:
    """Return the client's secret, empty where it has none.  Reads a small file.

    Raises:
        FarhandError: `oidc-secret` when the file is missing, too large, or readable for others.
    """
    if not settings.secret_file:
        return ""
    path = Path(relay.settings.home) / settings.secret_file
    try:
        mode, text = path.stat().st_mode, path.read_bytes()[: _MAX_SECRET_BYTES + 1]
        secret = text.decode("ascii").strip()
    except (OSError, UnicodeError) as error:
        raise _bad_secret("the file with the client's secret cannot be read") from error
    if mode & 0o077:
        raise _bad_secret("the file with the client's secret must be mode 0600")
    if not secret or len(text) > _MAX_SECRET_BYTES:
        raise _bad_secret("the file with the client's secret is empty or too large")
    return secret


def _bad_secret(words: str) -> FarhandError:
    return FarhandError("oidc-secret", words)

"""The relay's settings and its home.

A home holds `config.toml`, `relay.key` (32-byte seed, 0600), `tls/` with a certificate of its own
where one was made, and `farhand.db` unless another database is named.  Each setting is taken from,
in this order: the command line, a `FARHAND_*` variable, `config.toml`, the default.  A key that is
not known is an error: a typing error must not switch something off in silence.
"""

from __future__ import annotations

import ipaddress
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from farhand_protocol.complaints import plain_reason
from farhand_protocol.errors import FarhandError, UsageError
from farhand_server.head_sinks import parse_sinks
from farhand_server.store.database import sqlite_url

__all__ = [
    "Settings",
    "check_not_foreign",
    "check_url",
    "is_loopback",
    "load_settings",
    "parse_listen",
    "write_settings",
]

CONFIG_NAME = "config.toml"
KEY_NAME = "relay.key"
JUMP_KEY_NAME = "jump.key"
# Settings that a flag or a variable may override for one run.
_OVERRIDES = (
    "url",
    "node_url",
    "listen",
    "database",
    "bus",
    "jump",
    "tls_cert",
    "tls_key",
    "log",
    "audit_heads",
    "mail_listen",
)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything configured, for one run.

    Attributes:
        home: the folder; not in the file.
        tenant, org: the organisation's id and name.
        url: the address that tokens carry.
        listen: HOST:PORT; port 0 takes a free one (tests).
        database: SQLAlchemy address; empty means SQLite in the home.
        bus: `nats://...`; empty means in-process.
        jump: HOST:PORT of the SSH jump port; empty means none.
        tls_cert, tls_key: PEM files; relative ones are relative to the home.
        proxied: True when a reverse proxy on this host ends TLS, so https:// is served plain.
        log: plain or json, on stderr.
        node_url: address under which consoles reach this very node; empty means `url`.
        audit_heads: where heads of the audit are sent (head_sinks.py); empty means nowhere.
        audit_heads_every_s: how often, where the audit has grown.
        capacity: handshakes per second this node is sized for (reconnect windows follow it).
        drain_s: how long SIGTERM waits for open requests.
        mail_listen: lmtp://HOST:PORT or smtp://HOST:PORT on which mail is taken in; empty: none.
        alert_tickets: from which severity an alert opens a ticket; `never` for none.
    """

    home: str = ""
    tenant: str
    org: str
    url: str
    listen: str = "127.0.0.1:8443"
    database: str = ""
    bus: str = ""
    jump: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    proxied: bool = False
    log: Literal["plain", "json"] = "plain"
    node_url: str = ""
    audit_heads: str = ""
    audit_heads_every_s: Annotated[float, msgspec.Meta(ge=1)] = 3600.0
    capacity: int = 500
    drain_s: float = 10.0
    mail_listen: str = ""
    alert_tickets: Literal["warning", "critical", "never"] = "warning"

    @property
    def host(self) -> str:
        """Return the host to listen on."""
        return parse_listen(self.listen)[0]

    @property
    def port(self) -> int:
        """Return the port to listen on."""
        return parse_listen(self.listen)[1]

    @property
    def database_url(self) -> str:
        """Return the database's address."""
        return self.database or sqlite_url(Path(self.home) / "farhand.db")

    def path(self, name: str) -> Path:
        """Return a file named in the settings, relative to the home."""
        return Path(self.home) / name

    def __repr__(self) -> str:
        # The database's address may hold a password.
        return f"Settings(home={self.home!r}, url={self.url!r}, listen={self.listen!r})"


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def parse_listen(text: str) -> tuple[str, int]:
    """Read HOST:PORT ([::1]:8443 for IPv6).

    Raises:
        UsageError: `listen-malformed`.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError("listen-malformed", f"{text[:80]!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def check_url(url: str) -> str:
    """Check the relay's address: http:// on loopback only, https:// elsewhere, no path.

    Returns: the address without a trailing slash.

    Raises:
        UsageError: `url-malformed`, `url-insecure`.
    """
    url = url.rstrip("/")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError("url-malformed", f"{url[:80]!r} is not an address") from error
    bare = not (parts.path or parts.query or parts.fragment or parts.username)
    if parts.scheme not in {"http", "https"} or not host or not bare:
        raise UsageError(
            "url-malformed",
            f"{url[:80]!r} is not an address of a relay",
            hint="write it as https://HOST or https://HOST:PORT",
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise UsageError(
            "url-insecure", "a relay that others reach needs https://", hint=f"--url https://{host}"
        )
    return url


def check_not_foreign(home: Path) -> None:
    """Refuse the home of another program of Farhand, whatever else is in it.

    Raises:
        FarhandError: `home-foreign`.
    """
    try:
        values = tomllib.loads((home / CONFIG_NAME).read_text("utf-8"))
    except (OSError, UnicodeError, tomllib.TOMLDecodeError):
        # Nothing that names another program; what is wrong with it, others say.
        return
    _require_own(home, values)


def _require_own(home: Path, values: Mapping[str, Any]) -> None:
    # The console and the agent name themselves in their config.toml, the relay never did.
    if "program" in values:
        raise FarhandError(
            "home-foreign",
            f"{home} belongs to another program ({str(values['program'])[:40]})",
            hint="give the relay a folder of its own with --home",
        )


def load_settings(home: Path, flags: Mapping[str, Any] | None = None) -> Settings:
    """Read a home's settings.

    Args:
        home: the folder.
        flags: values from the command line; None values are not given.

    Raises:
        FarhandError: `home-missing`, `home-foreign`, `config-malformed`.
        UsageError: `config-unknown-key`, `listen-malformed`, `url-malformed`, `url-insecure`,
            `audit-sink-malformed`.
    """
    try:
        values: dict[str, Any] = tomllib.loads((home / CONFIG_NAME).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FarhandError(
            "home-missing",
            f"{home} is not a relay's home",
            hint="farhand-server init --home DIR --org NAME",
        ) from error
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        raise FarhandError(
            "config-malformed", f"{home / CONFIG_NAME} cannot be read: {plain_reason(error)}"
        ) from error
    _require_own(home, values)
    unknown = values.keys() - set(Settings.__struct_fields__) | (values.keys() & {"home"})
    if unknown:
        raise UsageError(
            "config-unknown-key", f"config.toml holds an unknown key: {', '.join(sorted(unknown))}"
        )
    for name in _OVERRIDES:
        if (variable := os.environ.get(f"FARHAND_{name.upper()}")) is not None:
            values[name] = variable
    values |= {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        settings = msgspec.convert({**values, "home": str(home)}, Settings)
    except msgspec.ValidationError as error:
        raise FarhandError(
            "config-malformed", f"config.toml is not right: {plain_reason(error)}"
        ) from error
    parse_listen(settings.listen)
    if settings.jump:
        parse_listen(settings.jump)
    check_url(settings.url)
    if settings.node_url:
        check_url(settings.node_url)
    parse_sinks(settings.audit_heads)
    return settings


def write_settings(home: Path, settings: Settings) -> None:
    """Write `config.toml` with what differs from the defaults; fails if there is one."""
    lines = ["# Farhand relay. Keys and limits: docs/operations/relay.md and docs/limits.md."]
    for field in msgspec.structs.fields(Settings):
        value = getattr(settings, field.name)
        if field.name == "home" or value == field.default:
            continue
        # TOML's basic strings, numbers and booleans are written as JSON writes them.
        lines.append(f"{field.name} = {json.dumps(value, ensure_ascii=False)}")
    with (home / CONFIG_NAME).open("x", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")

"""Section `certificates`: the system's own, and those it trusts beside its distribution's.

Only certificates are read, never keys; whether a key lies beside one is told by its file's name.
"""

from __future__ import annotations

import re
from typing import Any, Final

from cryptography import x509

from farhand_agent.inventory.certificate_items import certificate_item, certificates_in
from farhand_agent.inventory.context import Context
from farhand_agent.inventory.registry import section

__all__ = ["collect", "configured_paths"]

_FOLDERS: Final = (
    "/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors",
    "/etc/pki/tls/certs", "/etc/ssl/private", "/etc/ssl", "/etc/nginx/ssl", "/etc/apache2/ssl",
    "/etc/haproxy/certs",
)  # fmt: skip
_LETSENCRYPT: Final = "/etc/letsencrypt/live"
_CONFIGURATIONS: Final = (
    "/etc/nginx", "/etc/nginx/conf.d", "/etc/nginx/sites-enabled", "/etc/apache2/sites-enabled",
    "/etc/httpd/conf.d", "/etc/postfix", "/etc/dovecot/conf.d",
)  # fmt: skip
_DIRECTIVE: Final = re.compile(
    r"^[ \t]{0,100}(?:ssl_certificate|SSLCertificateFile|smtpd_tls_cert_file\s{0,9}=|"
    r"ssl_cert\s{0,9}=)[ \t]{0,100}<?\"?(/[^\s;\"]{1,300})",
    re.MULTILINE,
)
_ENDINGS: Final = (".pem", ".crt", ".cer")
_MAX_FILES: Final = 500
_MAX_IN_FILE: Final = 50


def configured_paths(text: str) -> list[str]:
    """Return the files that a server's configuration names as certificates."""
    return [path for path in _DIRECTIVE.findall(text) if "$" not in path]


@section("certificates", platform="linux", personal=("subject", "names"), timeout_s=30.0)
def collect(context: Context) -> list[dict[str, Any]]:
    """Return one item per certificate and file."""
    context.need("/etc")
    items: list[dict[str, Any]] = []
    seen: set[tuple[str, str]] = set()
    unread = 0
    for path in _paths(context)[:_MAX_FILES]:
        try:
            data = context.files.data(path) or b""
        except PermissionError:
            context.note(f"{path} needs root")
            continue
        found, broken = certificates_in(data)
        unread += broken
        for one in found[:_MAX_IN_FILE]:
            item = certificate_item(one, path) | {"has_private_key": _has_key(context, path, one)}
            if (item["sha256"], path) not in seen:
                seen.add((item["sha256"], path))
                items.append(item)
    if unread:
        context.note(f"{unread} of them cannot be read")
    return items


def _paths(context: Context) -> list[str]:
    files = context.files
    found: list[str] = []
    try:
        names = files.names(_LETSENCRYPT)
        found += [f"{_LETSENCRYPT}/{name}/cert.pem" for name in names if name != "README"]
    except PermissionError:
        context.note(f"{_LETSENCRYPT} needs root")
    for folder in _FOLDERS:
        try:
            names = files.names(folder)
        except PermissionError:
            context.note(f"{folder} needs root")
            continue
        # The bundle of the distribution's authorities is not ours to list.
        found += [
            f"{folder}/{name}"
            for name in names
            if name.endswith(_ENDINGS) and "ca-bundle" not in name and "ca-certificates" not in name
        ]
    for folder in _CONFIGURATIONS:
        for name in files.names(folder):
            path = f"{folder}/{name}"
            if files.path(path).is_file():
                try:
                    found += configured_paths(files.text(path) or "")
                except PermissionError:
                    context.note(f"{path} needs root")
    return [path for path in dict.fromkeys(found) if _is_file(context, path)]


def _is_file(context: Context, path: str) -> bool:
    try:
        return context.files.path(path).is_file()
    except PermissionError:
        return False  # a folder on the way is not for this user; its own note says so


def _has_key(context: Context, path: str, one: x509.Certificate) -> bool | None:
    folder, _, name = path.rpartition("/")
    if name == "cert.pem":
        return _is_file(context, f"{folder}/privkey.pem")
    stem = name.rpartition(".")[0]
    places = (
        f"{folder}/{stem}.key",
        f"/etc/ssl/private/{stem}.key",
        f"/etc/pki/tls/private/{stem}.key",
    )
    return any(_is_file(context, place) for place in places) or None

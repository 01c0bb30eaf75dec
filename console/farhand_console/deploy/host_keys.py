"""Whose host key counts: that of a known_hosts file, or one whose fingerprint the person gave.

    known, the same             goes on
    known, another              deploy-host-key-changed, whatever fingerprint was given
    unknown, fingerprint given  goes on; nothing is written into any file
    unknown                     deploy-host-key-unknown, with the fingerprint to compare

Nothing is ever accepted because it came first.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

import paramiko

from farhand_protocol.errors import FarhandError, RefusedError, UsageError

__all__ = ["HostKeys", "default_known_hosts", "fingerprint"]

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")


def default_known_hosts() -> list[Path]:
    """Return the files that OpenSSH's client reads too, as far as they are there."""
    files = [Path.home() / ".ssh" / "known_hosts", Path("/etc/ssh/ssh_known_hosts")]
    return [file for file in files if file.is_file()]


def fingerprint(key: paramiko.PKey) -> str:
    """Return a key's fingerprint as ssh-keygen -l shows it."""
    digest = hashlib.sha256(key.asbytes()).digest()
    return "SHA256:" + base64.b64encode(digest).rstrip(b"=").decode()


class HostKeys(paramiko.MissingHostKeyPolicy):
    """Judges the key of a host that no file knows.

    Args:
        files: known_hosts files.
        accepted: fingerprints that the person has compared.

    Raises:
        UsageError: `fingerprint-malformed`.
    """

    def __init__(self, files: Iterable[Path], accepted: Iterable[str] = ()) -> None:
        self.files = tuple(files)
        self._accepted = frozenset(one.rstrip("=") for one in accepted)
        for one in self._accepted:
            if not _FINGERPRINT.fullmatch(one):
                raise UsageError(
                    "fingerprint-malformed", f"{one[:80]!r} is no fingerprint: SHA256:..."
                )

    def teach(self, client: paramiko.SSHClient) -> None:
        """Let a client know what the files hold, and ask here about everything else.

        Raises:
            FarhandError: `known-hosts-unreadable`.
        """
        for file in self.files:
            try:
                client.load_system_host_keys(str(file))
            except (OSError, paramiko.SSHException, ValueError) as error:
                raise FarhandError("known-hosts-unreadable", f"{file} cannot be read") from error
        client.set_missing_host_key_policy(self)

    def missing_host_key(
        self, _client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        """Take a key whose fingerprint was given.

        Raises:
            RefusedError: `deploy-host-key-unknown`.
        """
        shown = fingerprint(key)
        if shown in self._accepted:
            return
        raise RefusedError(
            "deploy-host-key-unknown",
            f"the key of {hostname} is not known here: {key.get_name()} {shown}",
            hint="compare it on the host, then give it: --accept-fingerprint " + shown,
        )

"""`farhand ssh-config`: what stock ssh, scp, sftp, rsync and Ansible need to reach devices.

The written `Match ... exec` opens the session first (signed grant, ticket, expiry); then ssh runs
`farhand proxy` as its ProxyCommand.  Host keys come from verified enrolments, so ssh never asks.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from farhand_console.home import Home, write_private
from farhand_console.session.record import SessionRecord, key_file
from farhand_console.trust.devices import VerifiedDevice
from farhand_protocol.identity import public_key_line

__all__ = ["SSH_USER", "own_command", "prepare_host", "write_known_hosts", "write_ssh_config"]

SSH_USER = "farhand"


def own_command() -> list[str]:
    """Return how this console is started, with absolute paths."""
    return [sys.executable, "-I", "-m", "farhand_console"]


def _ssh_folder(home: Home) -> Path:
    return home.folder / "ssh"


def _host_names(device_id: str, name: str) -> list[str]:
    """Return the names under which ssh may know a device; ssh lower-cases what it is given."""
    plain = name.lower()
    ok = plain.replace("-", "").replace("_", "").replace(".", "").isalnum() and plain.isascii()
    return [device_id, plain] if ok and plain != device_id else [device_id]


def write_known_hosts(home: Home, devices: Iterable[tuple[str, str, bytes]]) -> Path:
    """Write the known hosts file for (id, name, key) and return its path."""
    lines = [
        f"{','.join(_host_names(device, name))} {public_key_line(key)}"
        for device, name, key in devices
    ]
    file = _ssh_folder(home) / "known_hosts"
    write_private(file, ("\n".join(sorted(lines)) + "\n").encode())
    return file


def prepare_host(home: Home, record: SessionRecord) -> None:
    """Put the session's key where ssh looks for it, under every name of the device."""
    for host in _host_names(record.device, record.device_name):
        folder = _ssh_folder(home) / "keys"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        link, beside = folder / host, folder / f".{host}.{os.getpid()}"
        beside.unlink(missing_ok=True)
        beside.symlink_to(key_file(home, record.session))
        beside.replace(link)


def write_ssh_config(home: Home, devices: Iterable[VerifiedDevice]) -> str:
    """Return the text of the configuration; also writes the known hosts."""
    listed = [(one.id, one.name, one.key) for one in devices]
    known_hosts = write_known_hosts(home, listed)
    hosts = sorted({host for device, name, _ in listed for host in _host_names(device, name)})
    if not hosts:
        return "# farhand: no confirmed device\n"
    command = shlex.join([*own_command(), "--home", str(home.folder)])
    quoted = command.replace('"', '\\"')
    return (
        "# Written by farhand ssh-config; write it again when devices come or go.\n"
        f'Match host {",".join(hosts)} exec "{quoted} session open --if-needed --device %h"\n'
        f"    User {SSH_USER}\n"
        f'    IdentityFile "{_ssh_folder(home)}/keys/%h"\n'
        "    IdentitiesOnly yes\n"
        f'    UserKnownHostsFile "{known_hosts}"\n'
        "    GlobalKnownHostsFile /dev/null\n"
        "    HostKeyAlgorithms ssh-ed25519\n"
        "    StrictHostKeyChecking yes\n"
        "    UpdateHostKeys no\n"
        "    CheckHostIP no\n"
        "    ForwardAgent no\n"
        "    ForwardX11 no\n"
        "    PasswordAuthentication no\n"
        f"    ProxyCommand {command} proxy %h\n"
    )

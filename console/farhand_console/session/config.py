"""`farhand ssh-config`: what stock ssh, scp, sftp, rsync and Ansible need to reach devices.

The written `Match ... exec` only opens the session (signed grant, ticket, expiry).  What ssh must
keep to stands in a `Host` block of its own, so that it holds when the session was refused as well:
ssh then runs `farhand proxy`, or goes through the relay's jump port, and ends there.  It never
tries the name by itself, with other keys or a password.  Host keys come from verified enrolments,
so ssh never asks.
"""

from __future__ import annotations

import secrets
import shlex
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from farhand_console.home import Home, write_private
from farhand_console.session.jump import JUMP_HOST, Jump
from farhand_console.session.record import SessionRecord, key_file
from farhand_console.trust.devices import VerifiedDevice
from farhand_protocol.grants import SSH_USER
from farhand_protocol.identity import is_device_id, is_session_id, public_key_line

__all__ = ["own_command", "prepare_host", "write_known_hosts", "write_ssh_config"]


def own_command() -> list[str]:
    """Return how this console is started, with absolute paths."""
    return [sys.executable, "-I", "-m", "farhand_console"]


def _ssh_folder(home: Home) -> Path:
    return home.folder / "ssh"


def _host_names(device_id: str, name: str) -> list[str]:
    """Return the names under which ssh may know a device; ssh lower-cases what it is given."""
    plain = name.lower()
    ok = plain.replace("-", "").replace("_", "").replace(".", "").isalnum() and plain.isascii()
    # A name that looks like an id could stand for another device.
    ok = ok and not is_device_id(plain) and not is_session_id(plain) and len(plain) <= 253
    return [device_id, plain] if ok else [device_id]


def _named(devices: Iterable[tuple[str, str, bytes]]) -> list[tuple[list[str], bytes]]:
    """Return the host names and key of each device; a name that two bear stands for neither."""
    listed = [(_host_names(device, name), key) for device, name, key in devices]
    counts = Counter(host for hosts, _ in listed for host in hosts)
    return [([host for host in hosts if counts[host] == 1], key) for hosts, key in listed]


def write_known_hosts(home: Home, devices: Iterable[tuple[str, str, bytes]]) -> Path:
    """Write the known hosts file for (id, name, key) and return its path."""
    lines = [f"{','.join(hosts)} {public_key_line(key)}" for hosts, key in _named(devices)]
    file = _ssh_folder(home) / "known_hosts"
    write_private(file, ("\n".join(sorted(lines)) + "\n").encode())
    return file


def prepare_host(home: Home, record: SessionRecord) -> None:
    """Put the session's key where ssh looks for it, under every name of the device."""
    for host in _host_names(record.device, record.device_name):
        folder = _ssh_folder(home) / "keys"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        link, beside = folder / host, folder / f".{secrets.token_hex(6)}"
        beside.symlink_to(key_file(home, record.session))
        beside.replace(link)


def write_ssh_config(
    home: Home, devices: Iterable[VerifiedDevice], jump: Jump | None = None
) -> str:
    """Return the text of the configuration; also writes the known hosts.

    Args:
        home: of the console.
        devices: to be reached.
        jump: the relay's jump port, to go through it instead of `farhand proxy`.
    """
    listed = [(one.id, one.name, one.key) for one in devices]
    known_hosts = write_known_hosts(home, listed)
    hosts = sorted(host for names, _ in _named(listed) for host in names)
    if not hosts:
        return "# farhand: no confirmed device\n"
    # ssh expands % in every place below, and unquotes what stands in double quotes.
    command = shlex.join([*own_command(), "--home", str(home.folder)]).replace("%", "%%")
    quoted = command.replace("\\", "\\\\").replace('"', '\\"')
    keys = str(_ssh_folder(home) / "keys").replace("%", "%%")
    known = str(known_hosts).replace("%", "%%")
    way = f"ProxyJump {JUMP_HOST}" if jump else f"ProxyCommand {command} proxy %h"
    return (
        "# Written by farhand ssh-config; write it again when devices come or go.\n"
        f"{_jump_block(jump) if jump else ''}"
        f'Match host {",".join(hosts)} exec "{quoted} session open --if-needed --device %h"\n'
        f"    User {SSH_USER}\n"
        f"Host {' '.join(hosts)}\n"
        f"    User {SSH_USER}\n"
        f'    IdentityFile "{keys}/%h"\n'
        "    IdentitiesOnly yes\n"
        f'    UserKnownHostsFile "{known}"\n'
        "    GlobalKnownHostsFile /dev/null\n"
        "    HostKeyAlgorithms ssh-ed25519\n"
        "    StrictHostKeyChecking yes\n"
        "    UpdateHostKeys no\n"
        "    CheckHostIP no\n"
        "    ForwardAgent no\n"
        "    ForwardX11 no\n"
        "    PasswordAuthentication no\n"
        f"    {way}\n"
    )


def _jump_block(jump: Jump) -> str:
    key, known = (str(file).replace("%", "%%") for file in (jump.key_file, jump.known_hosts))
    return (
        f"# The jump key is good until {jump.expires_at}.\n"
        f"Host {JUMP_HOST}\n"
        f"    HostName {jump.host}\n"
        f"    Port {jump.port}\n"
        f"    User {SSH_USER}\n"
        f'    IdentityFile "{key}"\n'
        "    IdentitiesOnly yes\n"
        f'    UserKnownHostsFile "{known}"\n'
        "    GlobalKnownHostsFile /dev/null\n"
        "    HostKeyAlgorithms ssh-ed25519\n"
        "    StrictHostKeyChecking yes\n"
        "    UpdateHostKeys no\n"
        "    CheckHostIP no\n"
        "    ForwardAgent no\n"
        "    ForwardX11 no\n"
        "    PasswordAuthentication no\n"
    )

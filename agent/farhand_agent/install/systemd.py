"""The agent under systemd: the unit, and the drop-in with what it was given beyond it.

The unit alone is an unprivileged user with nothing to gain.  What is not switched on, and why:

    PrivateTmp, ProtectProc   a technician's session is to see what the device's people see
    MemoryDenyWriteExecute    Python's foreign functions need it
    KillMode=control-group    running scripts outlive a restart of the agent (ADR 7)
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from farhand_agent.install.privileges import PRIVILEGES

__all__ = ["UNIT_NAME", "drop_in_text", "unit_text"]

UNIT_NAME = "farhand-agent.service"


def unit_text(program: Sequence[str], *, user: str, home: str) -> str:
    """Return the unit.

    Args:
        program: how the agent is started, without its subcommand.
        user: name of the account.
        home: the agent's home, an absolute path.
    """
    start = shlex.join([*program, "run", "--home", home]).replace("%", "%%")
    in_state = home == f"/var/lib/{home.rpartition('/')[2]}"
    # systemd makes and owns what lies below /var/lib by itself.
    place = (
        [f"StateDirectory={home.rpartition('/')[2]}", "StateDirectoryMode=0700"]
        if in_state
        else [f"ReadWritePaths={home}"]
    )
    return "\n".join(
        [
            "# Written by Farhand. What you change belongs into a drop-in: systemctl edit.",
            "[Unit]",
            "Description=Farhand device agent",
            "After=network-online.target",
            "Wants=network-online.target",
            "# Nothing to do before the device is enrolled.",
            f"ConditionPathExists={home}/config.toml",
            "StartLimitIntervalSec=300",
            "StartLimitBurst=20",
            "",
            "[Service]",
            "Type=simple",
            f"ExecStart={start}",
            f"User={user}",
            f"Group={user}",
            *place,
            "# Its socket lies there, and the door for the people of this computer; also those of",
            "# sessions, which go on while it restarts.",
            "RuntimeDirectory=farhand",
            "RuntimeDirectoryMode=0755",
            "RuntimeDirectoryPreserve=yes",
            "UMask=0077",
            "Restart=always",
            "RestartSec=5",
            "# What was called wrongly does not get better by being called again.",
            "RestartPreventExitStatus=2",
            "KillMode=process",
            "TimeoutStopSec=30",
            "NoNewPrivileges=yes",
            "CapabilityBoundingSet=",
            "ProtectSystem=strict",
            "ReadWritePaths=-/tmp -/var/tmp",
            "ProtectHome=read-only",
            "ProtectClock=yes",
            "ProtectControlGroups=yes",
            "ProtectHostname=yes",
            "ProtectKernelModules=yes",
            "ProtectKernelTunables=yes",
            "LockPersonality=yes",
            "RestrictNamespaces=yes",
            "RestrictRealtime=yes",
            "RestrictSUIDSGID=yes",
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
            "SystemCallArchitectures=native",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )


def drop_in_text(privileges: Sequence[str]) -> str:
    """Return the drop-in that grants privileges by name."""
    lines = ["# Written by `farhand-agent install --allow`.", "[Service]"]
    for name in privileges:
        lines += [f"# {name}", *PRIVILEGES[name]]
    return "\n".join([*lines, ""])

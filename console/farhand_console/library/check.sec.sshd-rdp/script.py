"""Remote login: the agent's built-in check sec.sshd-rdp."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("sec.sshd-rdp"))

"""Waiting for disks: the agent's built-in check disk.io."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("disk.io"))

"""Disks that can no longer be written: the agent's built-in check disk.read-only."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("disk.read-only"))

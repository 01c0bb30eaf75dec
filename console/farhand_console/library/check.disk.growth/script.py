"""Days until a disk is full: the agent's built-in check disk.growth."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("disk.growth"))

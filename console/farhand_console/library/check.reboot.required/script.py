"""A restart is waiting: the agent's built-in check reboot.required."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("reboot.required"))

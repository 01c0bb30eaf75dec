"""Health of the battery: the agent's built-in check battery.health."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("battery.health"))

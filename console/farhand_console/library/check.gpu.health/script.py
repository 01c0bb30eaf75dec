"""Graphics: the agent's built-in check gpu.health."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("gpu.health"))

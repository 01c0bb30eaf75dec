"""Free memory: the agent's built-in check memory.pressure."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("memory.pressure"))

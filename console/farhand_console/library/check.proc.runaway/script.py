"""Programs that run wild: the agent's built-in check proc.runaway."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("proc.runaway"))

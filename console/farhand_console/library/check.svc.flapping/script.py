"""Background services that start again and again: the agent's built-in check svc.flapping."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("svc.flapping"))

"""Background services that failed: the agent's built-in check services.failed."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("services.failed"))

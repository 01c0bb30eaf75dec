"""Programs ended for lack of memory: the agent's built-in check oom.kills."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("oom.kills"))

"""Programs that crashed: the agent's built-in check crash.apps."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("crash.apps"))

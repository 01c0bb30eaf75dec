"""Versions of programs: the agent's built-in check app.version."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("app.version"))

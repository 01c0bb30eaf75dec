"""The system is still supported: the agent's built-in check os.eol."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("os.eol"))

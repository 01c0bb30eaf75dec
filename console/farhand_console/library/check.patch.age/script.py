"""Days since updates were installed: the agent's built-in check patch.age."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("patch.age"))

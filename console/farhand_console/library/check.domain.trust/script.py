"""Trust between device and domain: the agent's built-in check domain.trust."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("domain.trust"))

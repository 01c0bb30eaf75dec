"""Protection against malware: the agent's built-in check sec.av."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("sec.av"))

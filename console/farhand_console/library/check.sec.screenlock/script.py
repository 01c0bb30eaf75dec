"""The screen locks by itself: the agent's built-in check sec.screenlock."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("sec.screenlock"))

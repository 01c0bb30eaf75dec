"""Cables and network cards: the agent's built-in check net.link."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("net.link"))

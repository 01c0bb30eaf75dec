"""The firewall: the agent's built-in check sec.firewall."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("sec.firewall"))

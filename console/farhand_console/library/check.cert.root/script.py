"""Authorities that somebody added: the agent's built-in check cert.root."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("cert.root"))

"""Certificates that end: the agent's built-in check cert.expiry."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("cert.expiry"))

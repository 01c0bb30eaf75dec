"""Encryption of the system's volume: the agent's built-in check sec.disk-encryption."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("sec.disk-encryption"))

"""Addresses of this device: the agent's built-in check net.ipconf."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("net.ipconf"))

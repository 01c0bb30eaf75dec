"""Strength of the Wi-Fi signal: the agent's built-in check net.wifi."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("net.wifi"))

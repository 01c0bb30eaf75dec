"""Private tunnels are alive: the agent's built-in check net.vpn."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("net.vpn"))

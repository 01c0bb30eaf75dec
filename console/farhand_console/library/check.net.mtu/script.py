"""Size of packets that pass: the agent's built-in check net.mtu."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("net.mtu"))

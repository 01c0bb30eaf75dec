"""Services open to the network: the agent's built-in check net.ports."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("net.ports"))

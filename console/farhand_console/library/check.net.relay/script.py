"""The organisation's relay answers: the agent's built-in check net.relay."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("net.relay"))

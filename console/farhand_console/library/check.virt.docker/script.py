"""Containers: the agent's built-in check virt.docker."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("virt.docker"))

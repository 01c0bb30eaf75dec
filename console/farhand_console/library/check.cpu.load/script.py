"""Load of the processor: the agent's built-in check cpu.load."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("cpu.load"))

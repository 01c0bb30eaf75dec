"""Known weaknesses of the processor: the agent's built-in check cpu.microcode-vuln."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("cpu.microcode-vuln"))

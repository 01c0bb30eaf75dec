"""The relay's own looks at agentless devices, at addresses that an admin registered."""

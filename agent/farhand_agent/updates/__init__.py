"""The agent's own updates: fetched, unpacked beside, tried under a watchdog, or taken back."""

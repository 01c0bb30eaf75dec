"""The organisation's trust as the console verifies and signs it."""

"""Verified trust metadata: reading it, and the child process that updates it."""

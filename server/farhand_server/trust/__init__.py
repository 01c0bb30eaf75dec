"""The shelf for the organisation's trust metadata, and the online signatures on it."""

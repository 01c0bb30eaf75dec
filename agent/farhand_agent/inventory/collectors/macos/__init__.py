"""The collectors for macOS: one module per section, found by being here."""

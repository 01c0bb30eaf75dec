"""The collectors: one folder per platform, one module per section, found by being there."""

"""Checks: is this device well, in a sentence for a layperson and a line for a technician."""

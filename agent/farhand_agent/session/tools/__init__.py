"""What a session can do besides a shell: one JSON request, one answer (farhand-tools)."""

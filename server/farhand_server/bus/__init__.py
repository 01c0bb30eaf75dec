"""Messages between relay nodes: within one process, or over NATS."""

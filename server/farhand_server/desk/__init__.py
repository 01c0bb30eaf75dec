"""The desk: tickets, what is said on them, and the time spent."""

"""Who may sign in to the relay, and what each may do there (the first lock)."""

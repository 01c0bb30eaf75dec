"""Other people's desks: their tickets looked at, and told what a session came to."""

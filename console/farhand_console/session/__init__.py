"""The console's side of a session: pairing, grants, pipes and SSH."""
